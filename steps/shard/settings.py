"""What the shard step is told: its arguments, typed and checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from steps.contracts.dataset import SplitName
from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri


@dataclass(frozen=True)
class Settings:
    """The step's arguments. Raises StepError where one is out of its range or two contradict each other."""

    image_location: S3Uri
    image_size: int
    """Shorter side of the written photos in pixels; 0 keeps the original bytes."""
    quality: int
    """JPEG quality of resized photos, 1 to 100."""
    split: Literal["grouped", "random", "file"]
    seed: int
    validation_fraction: float
    test_fraction: float
    shard_megabytes: float
    """A shard is closed before it would grow past this (10^6 bytes)."""
    maximum_rejects: float
    """Share of the photos that may be unusable, 0 to 1."""
    maximum_removed: float
    """Share of a shard's photos, 0 to 1, that may have been removed since; of more the others are written again."""
    compact: int = 0
    """Another number writes all shards again, and begins others beside those that are there."""
    split_file_location: S3Uri | None = None
    """With `split: file`: a Parquet or CSV object, or a prefix of such objects, with image_id and split."""

    def __post_init__(self) -> None:
        fractions = (self.validation_fraction, self.test_fraction)
        checks = {
            f"--image-size {self.image_size}: use 0 or at least 16 pixels": self.image_size == 0
            or self.image_size >= 16,
            f"--quality {self.quality}: use 1 to 100": 1 <= self.quality <= 100,
            f"--shard-megabytes {self.shard_megabytes}: use more than 0": self.shard_megabytes > 0,
            f"--maximum-rejects {self.maximum_rejects}: use a share from 0 to 1": 0 <= self.maximum_rejects <= 1,
            f"--maximum-removed {self.maximum_removed}: use a share from 0 to 1": 0 <= self.maximum_removed <= 1,
            f"--compact {self.compact}: use 0 or more": self.compact >= 0,
            f"--validation-fraction and --test-fraction {fractions}: both must be above 0 and sum to less than 1": (
                min(fractions) > 0 and sum(fractions) < 1
            ),
            "--split file and --split-file-location go together": (self.split == "file")
            == (self.split_file_location is not None),
        }
        for message, holds in checks.items():
            if not holds:
                raise StepError(message)

    @property
    def fractions(self) -> dict[SplitName, float]:
        """The wanted share of the photos in each split."""
        return {
            "train": 1 - self.validation_fraction - self.test_fraction,
            "validation": self.validation_fraction,
            "test": self.test_fraction,
        }

    @property
    def shard_bytes(self) -> int:
        """The largest size of a shard that holds more than one photo."""
        return int(self.shard_megabytes * 1_000_000)
