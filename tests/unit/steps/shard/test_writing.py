"""Shards out to S3: what happens when S3 does not take them, and what a record says."""

import asyncio
import time
from collections.abc import AsyncIterator

import pyarrow as pa
import pytest

from steps.contracts.dataset import SPLITS
from steps.contracts.errors import StepError
from steps.contracts.names import COMPLETE_MARKER
from steps.contracts.s3_uri import S3Uri
from steps.contracts.shard_plan import BUCKET
from steps.photos.jpeg import ImageError
from steps.runtime.s3 import open_store
from steps.shard import writing
from steps.shard.bucket import Photo, Remaining
from steps.shard.ledger import Ledger
from steps.shard.opening import OpenBucket, indexed
from steps.shard.rejects import Rejects
from steps.shard.work import IndexedShard, Work, no_shards
from steps.shard.writing import Openings, ShardWriter

BAD = ImageError("truncated", "")


def opened(bucket: str, name: str, **splits: list) -> OpenBucket:
    """A bucket with these outcomes of its photos per split: numbers are sizes, the others are errors."""
    ledger = Ledger(S3Uri(bucket, f"shards/{name}"), open_store(bucket))
    work, remaining = Work(reused=no_shards(), written=no_shards(), rejects={}), {}
    for place, split in enumerate(SPLITS):
        records = asyncio.run(ledger.records(split))
        work.written[split].extend(indexed(record) for record in records)
        settled = sum(len(record.photos) for record in records)
        rows = [
            (f"{name}-{split}-{number}", f"{outcome if isinstance(outcome, int) else 'bad'}", 3, "etag", 1, place)
            for number, outcome in enumerate(splits.get(split, []))
        ]
        columns = zip(*rows[settled:], strict=True) if rows[settled:] else [()] * len(BUCKET)
        arrays = [pa.array(values, field.type) for values, field in zip(columns, BUCKET, strict=True)]
        remaining[split] = Remaining(split, pa.table(arrays, BUCKET))
    return OpenBucket(name, work, ledger, remaining)


def write_all(buckets: list[OpenBucket], patch: pytest.MonkeyPatch, shard_bytes: int = 3_000) -> list[Work]:
    """The work of buckets whose photos are ready: their keys say what they are."""

    async def ready(source: object, photos: AsyncIterator[Photo]):
        async for photo in photos:
            yield photo, BAD if photo.key == "bad" else bytes(int(photo.key))

    patch.setattr(writing, "in_order", ready)
    works: list[Work] = []
    writer = ShardWriter(shard_bytes, Rejects(100, 1).add, works.append)

    async def write() -> None:
        await writer.write(Openings([lambda bucket=bucket: bucket for bucket in buckets]), None)

    asyncio.run(write())
    return works


def write(bucket: str, outcomes: list, patch: pytest.MonkeyPatch, shard_bytes: int = 3_000) -> list[IndexedShard]:
    """The shards of a bucket with a test split only."""
    (work,) = write_all([opened(bucket, "bucket", test=outcomes)], patch, shard_bytes)
    return work.written["test"]


@pytest.mark.parametrize("size", [1_000, 2_000_000])
def test_a_bucket_that_does_not_take_the_shard_is_named(s3, size: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("steps.shard.ledger.list_objects", lambda uri: [])

    with pytest.raises(StepError, match=r"^s3://no-such-bucket/shards/bucket/test/test-000000.tar: writing it failed"):
        write("no-such-bucket", [size] * 20, monkeypatch, 200_000_000)


def test_a_photo_larger_than_a_shard_gets_a_shard_of_its_own(s3, bucket: str, monkeypatch: pytest.MonkeyPatch):
    shards = write(bucket, [100, 5_000, 100], monkeypatch)

    assert [each.shard.samples for each in shards] == [1, 1, 1]
    assert shards[2].shard.uri == f"s3://{bucket}/shards/bucket/test/test-000002.tar"
    assert [each.class_counts for each in shards] == [{3: 1}] * 3


def test_a_record_settles_the_refused_photos_up_to_the_next_shard(s3, bucket: str, monkeypatch: pytest.MonkeyPatch):
    outcomes = [BAD, 100, BAD, BAD, 5_000, BAD]

    first = write(bucket, outcomes, monkeypatch)
    ledger = Ledger(S3Uri(bucket, "shards/bucket"), open_store(bucket))
    records = asyncio.run(ledger.records("test"))

    assert [len(record.photos) for record in records] == [4, 2]
    names = [[f"bucket-test-{number}" for number in numbers] for numbers in ((0, 2, 3), (5,))]
    assert [record.rejects for record in records] == [{"truncated": ids} for ids in names]
    assert write(bucket, outcomes, monkeypatch) == first


def test_a_split_of_refused_photos_has_no_shard(s3, bucket: str, monkeypatch: pytest.MonkeyPatch):
    assert write(bucket, [BAD] * 3, monkeypatch) == []
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_a_record_settles_photos_of_its_own_split_only(s3, bucket: str, monkeypatch: pytest.MonkeyPatch):
    """Otherwise a job that continues would skip as many photos at the beginning of the split."""
    splits = {"train": [BAD] * 3, "validation": [100, 5_000], "test": [100]}

    (work,) = write_all([opened(bucket, "b", **splits)], monkeypatch, shard_bytes=2_000)
    ledger = Ledger(S3Uri(bucket, "shards/b"), open_store(bucket))

    for split, photos in (("train", 0), ("validation", 2), ("test", 1)):
        ids = [i for record in asyncio.run(ledger.records(split)) for i in record.photos["image_id"].to_pylist()]
        assert ids == [f"b-{split}-{number}" for number in range(photos)]
    assert work.rejects == {"truncated": [f"b-train-{number}" for number in range(3)]}
    (again,) = write_all([opened(bucket, "b", **splits)], monkeypatch, shard_bytes=2_000)
    assert again == work


def test_each_bucket_is_complete_and_delivered_after_its_last_shard(s3, bucket: str, monkeypatch: pytest.MonkeyPatch):
    names = ["one", "empty", "two"]
    buckets = [opened(bucket, name, train=[100] * 5, test=[100]) for name in names]
    buckets[1] = opened(bucket, "empty")

    works = write_all(buckets, monkeypatch)

    assert [work.photos_written for work in works] == [6, 0, 6]
    for name, work in zip(names, works, strict=True):
        assert all(f"/shards/{name}/" in each.shard.uri for split in SPLITS for each in work.written[split])
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    markers = [f"shards/{name}/{COMPLETE_MARKER}" for name in ("one", "two")]
    assert [key for key in keys if key.endswith(COMPLETE_MARKER)] == markers


def test_each_bucket_is_opened_once_also_where_nothing_of_it_is_to_be_written(
    s3, bucket: str, monkeypatch: pytest.MonkeyPatch
):
    names: list[str] = []

    def opening(name: str, outcomes: list):
        def open_it() -> OpenBucket:
            names.append(name)
            return opened(bucket, name, test=outcomes)

        return open_it

    async def ready(source: object, photos: AsyncIterator[Photo]):
        async for photo in photos:
            yield photo, bytes(int(photo.key))

    monkeypatch.setattr(writing, "in_order", ready)
    works: list[Work] = []
    outcomes = {"a": [], "b": [], "c": [], "d": [100], "e": [], "f": [100]}

    async def write() -> None:
        openings = Openings([opening(name, photos) for name, photos in outcomes.items()])
        await ShardWriter(3_000, Rejects(100, 1).add, works.append).write(openings, None)

    asyncio.run(write())
    assert names == list(outcomes)
    assert sum(work.photos_written for work in works) == 2


def test_a_bucket_that_cannot_be_opened_ends_the_writing_and_leaves_no_upload(
    s3, bucket: str, monkeypatch: pytest.MonkeyPatch
):
    def sent() -> int:
        uploads = s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
        parts = [s3.list_parts(Bucket=bucket, Key=each["Key"], UploadId=each["UploadId"]) for each in uploads]
        return sum(len(listed.get("Parts", [])) for listed in parts)

    def fail() -> OpenBucket:
        # A part that is on its way when its upload is aborted may arrive afterwards.
        until = time.monotonic() + 60
        while sent() < 2 and time.monotonic() < until:
            time.sleep(0.05)
        raise StepError("the second bucket is damaged")

    async def ready(source: object, photos: AsyncIterator[Photo]):
        async for photo in photos:
            yield photo, bytes(6_000_000)

    monkeypatch.setattr(writing, "in_order", ready)
    first = opened(bucket, "one", train=[100] * 3)
    writer = ShardWriter(10**9, Rejects(100, 1).add, lambda work: None)

    async def write() -> None:
        await writer.write(Openings([lambda: first, fail]), None)

    with pytest.raises(StepError, match=r"^the second bucket is damaged$"):
        asyncio.run(write())
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
