"""The raw photos, their metadata, and what becomes of them before a training."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from pipeline.settings.fields import Duration, Fraction, Group, InstanceType, S3Prefix, Version


class Data(Group):
    """The raw photos and metadata, and the project's own bucket."""

    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", description="the project's own bucket")
    prefix: str = Field(default="bin-counting", pattern=r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$")
    image_location: S3Prefix = Field(description="holds bin-images/ID.jpg and metadata/ID.json")
    version: Version = Field(default="1", description="a new value makes a run look again")
    maximum_quantity: int = Field(default=5, ge=1, le=1000, description="bins that hold more are left out")
    database: str = Field(default="", pattern=r"^[a-z][a-z0-9_]{0,127}$", description="Glue database; default NAME")
    workgroup: str = Field(default="", pattern=r"^[A-Za-z0-9._-]{1,128}$", description="Athena workgroup; default NAME")
    query_gigabytes: PositiveInt = Field(
        default=100, le=100_000, description="a query that scans more is stopped by its workgroup"
    )
    query_minutes: PositiveInt = Field(default=60, description="a query that takes longer is stopped")
    instance_type: InstanceType = "ml.m5.xlarge"


class Shard(Group):
    """How photos become WebDataset shards."""

    version: Version = Field(default="1", description="another value shards again although nothing else has changed")
    instance_type: InstanceType = "ml.c5.4xlarge"
    instance_count: int = Field(default=1, ge=1, le=100)
    image_size: int = Field(
        default=256, ge=0, le=4096, description="shorter side in pixels; 0 keeps the original bytes"
    )
    quality: int = Field(default=90, ge=1, le=100, description="JPEG quality of resized photos")
    megabytes: PositiveInt = Field(default=200, le=4000, description="size of a shard")
    split: Literal["grouped", "random", "file"] = "grouped"
    split_file: S3Prefix | None = Field(
        default=None, description="for split: file, Parquet or CSV of image_id and split"
    )
    seed: int = Field(default=1, ge=0)
    validation_fraction: Fraction = 0.1
    test_fraction: Fraction = 0.1
    maximum_rejects: float = Field(default=0.05, ge=0, le=1, description="share of photos that may be unusable")
    maximum_removed: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="share of a shard's photos that may have been removed; of more the others are written again",
    )
    compact: int = Field(default=0, ge=0, description="another number writes all shards again, as one shuffled set")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction and test_fraction together leave nothing to train on")
        if (self.split == "file") != (self.split_file is not None):
            raise ValueError("split: file and split_file go together")
        return self


class Cache(Group):
    """Step caching: how long a step's result may be used again for the same image, arguments and inputs."""

    enabled: bool = True
    fresh_for: Duration = Field(default="12h", description="QueryMetadata: after this a run looks for new bins")
    keep_for: Duration = Field(default="30d", description="ShardImages and TuneModel")
