"""A bucket in a pretended account, whose objects were written when a test says."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from moto.s3.models import s3_backends

from steps.contracts.dataset import SPLITS, DatasetIndex, Shard, Sharding, Split

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
KEY = "0123456789abcdef"
SHA = "0" * 64


def generation(number: int, key: str = KEY) -> str:
    """The place of a generation below `shards/`."""
    return f"{key}/{number:06d}-{number:016x}"


class Data:
    """What runs have left below a prefix of a bucket; ages are in days before `now`."""

    def __init__(self, bucket: str, prefix: str = "bin-counting", now: datetime = NOW) -> None:
        self.bucket, self.prefix, self._now = bucket, prefix, now
        self.s3 = boto3.client("s3", region_name="us-east-1")
        self.s3.create_bucket(Bucket=bucket)
        self.account = boto3.client("sts", region_name="us-east-1").get_caller_identity()["Account"]
        self.sagemaker = boto3.client("sagemaker", region_name="us-east-1")

    def put(self, key: str, age: float, content: bytes = b"x") -> str:
        """Write an object below the prefix; gives its whole key."""
        whole = f"{self.prefix}/{key}"
        self.s3.put_object(Bucket=self.bucket, Key=whole, Body=content)
        stored: Any = s3_backends[self.account]["aws"].buckets[self.bucket].keys[whole]
        stored.last_modified = (self._now - timedelta(days=age)).replace(tzinfo=None)
        return whole

    def shard(self, place: str, split: str, number: int, age: float, *, record: bool = True) -> str:
        """A tar of 1,000 bytes and its record; gives the tar's URI."""
        stem = f"shards/{place}/{split}/{split}-000-{number:06d}"
        if record:
            self.put(f"{stem}.parquet", age)
        return f"s3://{self.bucket}/{self.put(f'{stem}.tar', age, bytes(1_000))}"

    def generation(self, number: int, age: float, shards: int = 3, key: str = KEY) -> list[str]:
        """A whole generation, with a marker; gives the URIs of its tars."""
        place = generation(number, key)
        uris = [self.shard(place, SPLITS[n % 3], n, age) for n in range(shards)]
        self.put(f"shards/{place}/complete.json", age, b"{}\n")
        return uris

    def index(self, uris: list[str], age: float) -> str:
        """An index of these shards, at least three; gives the URI of its folder."""
        index = index_of(uris)
        self.put(f"indexes/{index.key}/index.json", age, index.model_dump_json().encode())
        return f"s3://{self.bucket}/{self.prefix}/indexes/{index.key}"

    def labels(self, number: int, age: float) -> str:
        """A label set of two files; gives its key."""
        key = f"{number:032x}"
        for part in range(2):
            self.put(f"labels/{key}/part-{part:05d}-of-00002.parquet", age)
        return key

    def plan(self, number: int, age: float) -> str:
        """A plan of two buckets; gives its key."""
        key = f"{number:032x}"
        for name in ("description/plan.json", "description/left_out.parquet", "buckets/000001-00000.parquet"):
            self.put(f"plans/{key}/{name}", age)
        self.put(f"plans/{key}/buckets/000001-00001.parquet", age)
        return key

    def approve(self, index: str | None, status: str = "Approved") -> None:
        """A version of the group with this status, which names the index."""
        groups = self.sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]
        if not groups:
            self.sagemaker.create_model_package_group(ModelPackageGroupName="bins")
        self.sagemaker.create_model_package(
            ModelPackageGroupName="bins",
            ModelApprovalStatus=status,
            InferenceSpecification={
                "Containers": [{"Image": "image", "ModelDataUrl": "s3://b/model.tar.gz"}],
                "SupportedContentTypes": ["image/jpeg"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
            **({"CustomerMetadataProperties": {"index": index}} if index is not None else {}),
        )

    def listed(self, folder: str = "") -> set[str]:
        """The keys that are there, without the prefix."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=f"{self.prefix}/{folder}")
        return {item["Key"].removeprefix(f"{self.prefix}/") for page in pages for item in page.get("Contents", [])}

    def has(self, uri: str) -> bool:
        """Whether a shard's tar and record are both there."""
        key = uri.removeprefix(f"s3://{self.bucket}/{self.prefix}/")
        return {key, f"{key.removesuffix('.tar')}.parquet"} <= self.listed("shards")


def index_of(uris: list[str]) -> DatasetIndex:
    """An index of shards, each in the split that its place says."""
    splits = {}
    for name in SPLITS:
        shards = [
            Shard(uri=uri, samples=2, bytes=1_000, sha256=hashlib.sha256(uri.encode()).hexdigest())
            for uri in uris
            if f"/{name}/" in uri
        ]
        splits[name] = Split(shards=shards, class_counts={1: len(shards), 2: len(shards)})
    fractions = {"train": 0.8, "validation": 0.1, "test": 0.1}
    sharding = Sharding(split="grouped", seed=1, fractions=fractions, image_size=256, quality=90)
    return DatasetIndex(sharding=sharding, splits=splits)
