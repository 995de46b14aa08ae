"""The raw photos and their metadata, the shards written from them, and the step cache."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import PositiveInt, model_validator

from pipeline.settings.fields import (
    PROCESSING_GIGABYTES,
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
from steps.contracts.s3_uri import S3Uri, bucket_refusal

# Seconds: "longest run time for a processing job", 5 days, though the service's model permits 9.
# https://docs.aws.amazon.com/general/latest/gr/sagemaker.html#limits_sagemaker
LONGEST_PROCESSING = 5 * 86_400
# Pixels that ShardImages resizes to at least.
SMALLEST_SIDE = 16
# auto: DuckDB on one instance, or Spark where there are several and the data are large enough for them.
Engine = Literal["auto", "local", "spark"]
Image = Literal["processing", "spark"]


def _image(engine: Engine, instance_count: int) -> Image:
    """The image of a job with an engine: Spark's also holds DuckDB."""
    return "spark" if engine == "spark" or (engine == "auto" and instance_count > 1) else "processing"


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
    inventory: S3Prefix | None = field(
        "Folder of an S3 Inventory configuration of the photos' bucket (Parquet, with Size and ETag): photos are listed"
        " by its newest list, and newer ones are not seen; left out: the bucket is listed",
        None,
        example="s3://bins-inventory/lists/aft-vbi-pds/daily",
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
    volume_gigabytes: PositiveInt = field(
        "Storage volume of QueryMetadata, where the objects of an inventory are sorted",
        PROCESSING_GIGABYTES,
        unit="GB",
        le=16_384,
    )

    @model_validator(mode="after")
    def _named(self) -> Self:
        if reason := bucket_refusal(self.bucket):
            raise ConflictError(f"{self.bucket} {reason}; take another name", "data.bucket")
        if self.inventory and _source_bucket(self.inventory) != S3Uri.parse(self.image_location).bucket:
            raise ConflictError(
                f"{self.inventory} is no folder of a list of {self.image_location}: it ends in"
                f" {S3Uri.parse(self.image_location).bucket}/CONFIG-ID, with the id of the inventory configuration",
                "data.inventory",
                "data.image_location",
            )
        # Programs resolve them, S3 does not.
        if {".", ".."} & set(self.prefix.split("/")):
            raise ConflictError(
                f"{self.prefix} has a folder . or .., which programs read in different ways", "data.prefix"
            )
        return self


def _source_bucket(inventory: str) -> str:
    """The bucket that an inventory configuration lists, which its folder names; empty where it names none.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html
    """
    return S3Uri.parse(inventory).key.rstrip("/").rpartition("/")[0].rpartition("/")[2]


class Shard(Group):
    """WebDataset shards, and the splits of the photos."""

    version: Version = field(
        "Version of the shards; another value shards again although nothing else has changed",
        "1",
        parameter="ShardVersion",
    )
    instance_type: ProcessingType = field("Instance type of ShardImages", "ml.c5.4xlarge")
    instance_count: int = field("Instances of ShardImages", 1, ge=1, le=100, parameter="ShardInstanceCount")
    run_time: Duration = field("Longest run time of ShardImages, and of PlanShards, at most 5d", "1d")
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
    common_items: float = field(
        "Share of the photos above which an item says nothing about the bin, such as a screw that is in every second"
        " bin; 1: every item counts",
        1.0,
        gt=0,
        le=1,
        example=0.05,
    )
    planner: Engine = field(
        "How splits and shards are planned. auto: by ShardImages itself, or with plan_instance_count above 1 as spark"
        " where the data are large; local: by a step PlanShards, on one instance; spark: by PlanShards, with Spark on"
        " its instances",
        "auto",
    )
    plan_instance_type: ProcessingType | None = field(
        "Instance type of PlanShards; left out: shard.instance_type", None, example="ml.m5.4xlarge"
    )
    plan_instance_count: int = field("Instances of PlanShards", 1, ge=1, le=100)
    plan_volume_gigabytes: PositiveInt = field(
        "Storage volume of each instance of PlanShards, for what does not fit into memory",
        PROCESSING_GIGABYTES,
        unit="GB",
        le=16_384,
    )

    @property
    def plan_image(self) -> Image | None:
        """The image of PlanShards; None where ShardImages plans in its own job."""
        if self.planner == "auto" and self.plan_instance_count == 1:
            return None
        return _image(self.planner, self.plan_instance_count)

    @property
    def plan_type(self) -> str:
        """Instance type of PlanShards."""
        return self.plan_instance_type or self.instance_type

    @model_validator(mode="after")
    def _plans(self) -> Self:
        """Refuse instances for a planner that uses one, and settings of a PlanShards that no run has."""
        if self.planner == "local" and self.plan_instance_count > 1:
            raise ConflictError(
                f"planner: local plans on one instance, and plan_instance_count is {self.plan_instance_count}; take"
                " planner: spark or auto, or leave plan_instance_count out",
                "shard.plan_instance_count",
                "shard.planner",
            )
        if self.plan_image is None:
            given = {"plan_instance_type": self.plan_instance_type is not None}
            given["plan_volume_gigabytes"] = self.plan_volume_gigabytes != PROCESSING_GIGABYTES
            for name in (name for name, is_given in given.items() if is_given):
                raise ConflictError(
                    f"nothing reads {name}: ShardImages plans in its own job; set planner: local or spark, or"
                    f" plan_instance_count, or leave {name} out",
                    f"shard.{name}",
                )
        return self

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


class Explore(Group):
    """The exploration of the data: a step that no other one waits for."""

    enabled: bool = field("Whether runs explore the data, in a step ExploreData", False)
    engine: Engine = field(
        "auto: DuckDB on one instance, Spark on several; local: DuckDB, on one instance; spark: Spark on the instances",
        "auto",
    )
    instance_type: ProcessingType = field("Instance type of ExploreData", "ml.m5.2xlarge")
    instance_count: int = field("Instances of ExploreData", 1, ge=1, le=100)

    @property
    def image(self) -> Image | None:
        """The image of ExploreData; None where no run has the step."""
        return _image(self.engine, self.instance_count) if self.enabled else None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.enabled:
            for name in ("engine", "instance_type", "instance_count"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ConflictError(
                        f"nothing reads {name} without enabled: true; add it, or leave {name} out", f"explore.{name}"
                    )
        if self.engine == "local" and self.instance_count > 1:
            raise ConflictError(
                f"engine: local explores on one instance, and instance_count is {self.instance_count}; take engine:"
                " spark or auto, or leave instance_count out",
                "explore.instance_count",
                "explore.engine",
            )
        return self


class Cache(Group):
    """Step caching: reuse of a step's result for the same image, arguments and inputs."""

    enabled: bool = field("Whether steps are cached", True)
    fresh_for: Duration = field("Time after which QueryMetadata looks for new bins", "12h")
    keep_for: Duration = field(
        "Time for which results of PlanShards, ShardImages, ExploreData and TuneModel are reused", "30d"
    )
