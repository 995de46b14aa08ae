"""What a data set depends on: the arguments that the plan step and the shard step have in common."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, PlainValidator

from steps.contracts.dataset import SplitName
from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri

# Changes when the same photos and settings result in other shards, so that shards of an older format are not used.
FORMAT = 3
# Packages whose versions change the bytes of a resized photo.
_LIBRARIES = ("simplejpeg", "opencv-python-headless")
_S3_URI = PlainValidator(S3Uri.parse)
Share = Annotated[FiniteFloat, Field(ge=0, le=1)]


@dataclass(frozen=True, kw_only=True)
class DatasetSettings:
    """The photos, how they are prepared, and how they are split. Raises StepError where two arguments contradict."""

    image_location: Annotated[S3Uri, _S3_URI, Field(description="s3://BUCKET/PREFIX of the photos")]
    image_size: Annotated[
        int, Field(ge=0, description="shorter side of the photos in pixels, 16 or more; 0 keeps the original bytes")
    ]
    quality: Annotated[int, Field(ge=1, le=100, description="JPEG quality of resized photos")]
    split: Annotated[Literal["grouped", "random", "file"], Field(description="how photos are split")]
    seed: Annotated[int, Field(description="seed of the split and of the order of photos")]
    validation_fraction: Annotated[FiniteFloat, Field(gt=0, lt=1, description="share of photos for validation")]
    test_fraction: Annotated[FiniteFloat, Field(gt=0, lt=1, description="share of photos for testing")]
    common_items: Annotated[
        Share,
        Field(
            description="an item in more than this share of the photos says nothing about the bin; 1: every item does"
        ),
    ]
    shard_megabytes: Annotated[FiniteFloat, Field(gt=0, description="largest size of a shard in 10^6 bytes")]
    compact: Annotated[
        int, Field(ge=0, description="another number writes all photos again, to shards next to the existing ones")
    ]
    split_file_location: Annotated[
        S3Uri | None,
        _S3_URI,
        Field(description="with --split file: Parquet or CSV object or prefix with the columns image_id and split"),
    ] = None

    def __post_init__(self) -> None:
        if 0 < self.image_size < 16:
            raise StepError(f"--image-size {self.image_size}: use 0 or at least 16 pixels")
        if self.validation_fraction + self.test_fraction >= 1:
            fractions = (self.validation_fraction, self.test_fraction)
            raise StepError(f"--validation-fraction and --test-fraction {fractions}: their sum must be less than 1")
        if (self.split == "file") != (self.split_file_location is not None):
            raise StepError("--split file and --split-file-location go together")

    @property
    def fractions(self) -> dict[SplitName, float]:
        """The intended share of the photos in each split."""
        return {
            "train": 1 - self.validation_fraction - self.test_fraction,
            "validation": self.validation_fraction,
            "test": self.test_fraction,
        }

    @property
    def shard_bytes(self) -> int:
        """The largest size in bytes of a shard with more than one photo."""
        return int(self.shard_megabytes * 1_000_000)

    @property
    def dataset(self) -> str:
        """A hash of 16 hexadecimal digits over all that determines a photo in a shard, and the splits.

        Shards with the same hash can be used together: the photos are not part of it.
        """
        depends = {
            "format": FORMAT,
            "libraries": {name: version(name) for name in _LIBRARIES},
            "image_location": str(self.image_location),
            "image_size": self.image_size,
            "quality": self.quality,
            "shard_bytes": self.shard_bytes,
            "compact": self.compact,
            "split": self.split,
            # The seed orders photos, too. A given split is compared photo by photo.
            "assignment": [self.seed] if self.split == "file" else [self.seed, self.fractions],
        }
        return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:16]
