"""The arguments of the shard step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, PlainValidator

from steps.contracts.dataset import SplitName
from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri

_S3_URI = PlainValidator(S3Uri.parse)
_Share = Annotated[FiniteFloat, Field(ge=0, le=1)]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Write photos and labels as WebDataset shards and their index. Raises StepError where two arguments contradict."""

    image_location: Annotated[S3Uri, _S3_URI, Field(description="s3://BUCKET/PREFIX of the photos")]
    image_size: Annotated[
        int, Field(ge=0, description="shorter side of the photos in pixels, 16 or more; 0 keeps the original bytes")
    ]
    quality: Annotated[int, Field(ge=1, le=100, description="JPEG quality of resized photos")]
    split: Annotated[Literal["grouped", "random", "file"], Field(description="how photos are split")]
    seed: Annotated[int, Field(description="seed of the split and of the order of photos")]
    validation_fraction: Annotated[FiniteFloat, Field(gt=0, lt=1, description="share of photos for validation")]
    test_fraction: Annotated[FiniteFloat, Field(gt=0, lt=1, description="share of photos for testing")]
    shard_megabytes: Annotated[FiniteFloat, Field(gt=0, description="largest size of a shard in 10^6 bytes")]
    maximum_rejects: Annotated[_Share, Field(description="share of photos that may be unusable")]
    maximum_removed: Annotated[
        _Share,
        Field(description="share of a shard's photos that may have been removed; with more, the rest is written again"),
    ]
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
