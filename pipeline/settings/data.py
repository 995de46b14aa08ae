"""The raw photos and their metadata, the shards written from them, and the step cache."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import PositiveInt, model_validator

from pipeline.settings.fields import (
    ConflictError,
    Duration,
    Fraction,
    Group,
    ProcessingType,
    S3Prefix,
    Version,
    field,
    form,
    seconds,
)
from steps.contracts import package_properties
from steps.contracts.s3_uri import bucket_refusal

# Seconds: "longest run time for a processing job", 5 days, though the service's model permits 9.
# https://docs.aws.amazon.com/general/latest/gr/sagemaker.html#limits_sagemaker
LONGEST_PROCESSING = 5 * 86_400
# Pixels that ShardImages resizes to at least.
SMALLEST_SIDE = 16


class Data(Group):
    """The raw photos and metadata, and the project's own bucket."""

    bucket: str = field(
        "Bucket of the project, in the account's region",
        pattern=form(
            r"^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", "a bucket's name: 3 to 63 lower-case letters, digits and hyphens"
        ),
        example="bins-111122223333",
    )
    prefix: str = field(
        "Prefix in the bucket for all that runs write",
        "bin-counting",
        pattern=form(
            r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$", "folders of letters, digits and any of . _ - with / between them"
        ),
        # URIs below it are properties of a model package: 256 characters with the bucket, the run and the file.
        max_length=100,
    )
    image_location: S3Prefix = field(
        "Location of the raw data: bin-images/ID.jpg and metadata/ID.json",
        example="s3://aft-vbi-pds",
        max_length=package_properties.LIMIT,
        parameter="ImageLocation",
    )
    version: Version = field(
        "Version of the raw data; another value makes the next run query again", "1", parameter="DataVersion"
    )
    maximum_quantity: int = field(
        "Largest count of a bin; bins with more are left out",
        5,
        unit="objects",
        ge=1,
        le=1000,
        parameter="MaximumQuantity",
    )
    database: str = field(
        "Glue database; left out: NAME",
        "",
        pattern=form(r"^[a-z][a-z0-9_]{0,127}$", "up to 128 lower-case letters, digits and underscores"),
        example="bins",
    )
    workgroup: str = field(
        "Athena workgroup; left out: NAME",
        "",
        pattern=form(r"^[A-Za-z0-9._-]{1,128}$", "up to 128 letters, digits and any of . _ -"),
        example="bins",
    )
    query_gigabytes: PositiveInt = field(
        "Largest scan of a query; its workgroup stops a query that scans more", 100, unit="GB", le=100_000
    )
    # Athena's own limit is 30 minutes, or up to 240 on request:
    # https://docs.aws.amazon.com/athena/latest/ug/service-limits.html
    query_minutes: PositiveInt = field(
        "Longest time of a query, which is then stopped; more than 30 needs Athena's quota `DML query timeout` raised",
        25,
        unit="minutes",
        le=240,
    )
    instance_type: ProcessingType = field("Instance type of QueryMetadata", "ml.m5.xlarge")

    @model_validator(mode="after")
    def _named(self) -> Self:
        if reason := bucket_refusal(self.bucket):
            raise ConflictError(f"{self.bucket} {reason}; take another name", "data.bucket")
        # Programs resolve them, S3 does not.
        if {".", ".."} & set(self.prefix.split("/")):
            raise ConflictError(
                f"{self.prefix} has a folder . or .., which programs read in different ways", "data.prefix"
            )
        return self


class Shard(Group):
    """WebDataset shards, and the splits of the photos."""

    version: Version = field(
        "Version of the shards; another value shards again although nothing else has changed",
        "1",
        parameter="ShardVersion",
    )
    instance_type: ProcessingType = field("Instance type of ShardImages", "ml.c5.4xlarge")
    instance_count: int = field("Instances of ShardImages", 1, ge=1, le=100, parameter="ShardInstanceCount")
    run_time: Duration = field("Longest run time of ShardImages, at most 5d", "1d")
    image_size: int = field(
        "Shorter side of the photos in shards, 16 or more; 0 keeps the original bytes",
        256,
        unit="pixels",
        ge=0,
        le=4096,
    )
    quality: int = field("JPEG quality of resized photos", 90, ge=1, le=100)
    megabytes: PositiveInt = field("Largest size of a shard", 200, unit="MB", le=4000)
    split: Literal["grouped", "random", "file"] = field(
        "grouped: photos of the same bin share a split; random: each photo by itself; file: as split_file lists",
        "grouped",
    )
    split_file: S3Prefix | None = field(
        "Parquet or CSV file with the columns image_id and split; required with split: file",
        None,
        example="s3://bins-111122223333/split.csv",
    )
    seed: int = field("Seed of the splits and of the order of samples", 1, ge=0)
    validation_fraction: Fraction = field("Share of the photos in the validation split", 0.1)
    test_fraction: Fraction = field("Share of the photos in the test split", 0.1)
    maximum_rejects: float = field("Share of unusable photos above which ShardImages fails", 0.05, ge=0, le=1)
    maximum_removed: float = field(
        "Share of removed photos above which the remaining photos of a shard are written again", 0.2, ge=0, le=1
    )
    compact: int = field(
        "Number of the compaction; another value writes all shards again, shuffled as one set", 0, ge=0
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if 0 < self.image_size < SMALLEST_SIDE:
            raise ValueError(
                f"image_size is {self.image_size}; take {SMALLEST_SIDE} or more, or 0 for the original bytes"
            )
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction and test_fraction together leave nothing to train on")
        if seconds(self.run_time) > LONGEST_PROCESSING:
            raise ValueError(f"run_time is {self.run_time}; a processing job runs for 5d at most: add instances")
        if (self.split == "file") != (self.split_file is not None):
            raise ValueError("split: file and split_file go together")
        return self


class Cache(Group):
    """Step caching: reuse of a step's result for the same image, arguments and inputs."""

    enabled: bool = field("Whether steps are cached", True)
    fresh_for: Duration = field("Time after which QueryMetadata looks for new bins", "12h")
    keep_for: Duration = field("Time for which results of ShardImages and TuneModel are reused", "30d")
