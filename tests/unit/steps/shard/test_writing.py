"""Shards out to S3: what happens when S3 does not take them, and what a record says."""

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace

import pytest

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.photos.jpeg import ImageError
from steps.runtime.s3 import open_store
from steps.shard import writing
from steps.shard.gathering import NewShard
from steps.shard.ledger import Ledger
from steps.shard.plan import Photo
from steps.shard.rejects import Rejects
from steps.shard.writing import ShardWriter


def write(bucket: str, outcomes: list, monkeypatch: pytest.MonkeyPatch, shard_bytes: int = 3_000) -> list[NewShard]:
    """Write a test split of photos that are ready: numbers are sizes, the others are errors."""

    def photos(split: str, start: int):
        ids = range(start, len(outcomes)) if split == "test" else ()
        return [Photo("test", f"{number}", f"{number}.jpg", 3, "etag", 1) for number in ids]

    async def ready(source: object, share: Iterable[Photo]):
        for photo in share:
            outcome = outcomes[int(photo.image_id)]
            yield photo, bytes(outcome) if isinstance(outcome, int) else outcome

    monkeypatch.setattr(writing, "in_order", ready)
    ledger = Ledger(S3Uri(bucket, "shards"), open_store(bucket), instance=12)
    share = SimpleNamespace(photos=photos)
    return asyncio.run(ShardWriter(ledger, shard_bytes).write(share, None, Rejects(100, 1)))["test"]


@pytest.mark.parametrize("size", [1_000, 2_000_000])
def test_a_bucket_that_does_not_take_the_shard_is_named(s3, size: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("steps.shard.ledger.list_objects", lambda uri: [])

    with pytest.raises(StepError, match=r"^s3://no-such-bucket/shards/test/test-012-000000.tar: writing it failed"):
        write("no-such-bucket", [size] * 20, monkeypatch, 200_000_000)


def test_a_photo_larger_than_a_shard_gets_a_shard_of_its_own(s3, bucket: str, monkeypatch: pytest.MonkeyPatch):
    records = write(bucket, [100, 5_000, 100], monkeypatch)

    assert [record.shard.samples for record in records] == [1, 1, 1]
    assert records[2].shard.uri == f"s3://{bucket}/shards/test/test-012-000002.tar"
    assert [record.class_counts for record in records] == [{3: 1}] * 3


def test_a_record_settles_the_refused_photos_up_to_the_next_shard(s3, bucket: str, monkeypatch: pytest.MonkeyPatch):
    bad = ImageError("truncated", "")
    outcomes = [bad, 100, bad, bad, 5_000, bad]

    first = write(bucket, outcomes, monkeypatch)
    ledger = Ledger(S3Uri(bucket, "shards"), open_store(bucket), instance=12)
    records = asyncio.run(ledger.records("test"))

    assert [len(record.photos) for record in records] == [4, 2]
    assert [record.rejects for record in records] == [{"truncated": ["0", "2", "3"]}, {"truncated": ["5"]}]
    assert write(bucket, outcomes, monkeypatch) == first


def test_a_split_of_refused_photos_has_no_shard(s3, bucket: str, monkeypatch: pytest.MonkeyPatch):
    assert write(bucket, [ImageError("truncated", "")] * 3, monkeypatch) == []
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
