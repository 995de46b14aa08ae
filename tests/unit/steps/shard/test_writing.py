"""Shards out to S3: what happens when S3 does not take them."""

import asyncio

import pytest

from steps.common.errors import StepError
from steps.common.s3 import S3Uri, open_store
from steps.shard.plan import Photo
from steps.shard.writing import ShardWriter

PHOTO = Photo("1", "1.jpg", 3, "train", "1")


async def twenty(size: int):
    for _ in range(20):
        yield PHOTO, bytes(size)


@pytest.mark.parametrize("size", [1_000, 2_000_000])
def test_a_bucket_that_does_not_take_the_shard_is_named(s3, size: int):
    target = S3Uri("no-such-bucket", "shards")
    writer = ShardWriter(target, open_store(target.bucket), instance=0, shard_bytes=200_000_000)

    with pytest.raises(StepError, match=r"^s3://no-such-bucket/shards/train/train-000-000000.tar: writing it failed"):
        asyncio.run(writer.write_split("train", twenty(size)))


def test_a_photo_larger_than_a_shard_gets_a_shard_of_its_own(s3, bucket: str):
    async def three():
        for size in (100, 5_000, 100):
            yield PHOTO, bytes(size)

    writer = ShardWriter(S3Uri(bucket, "shards"), open_store(bucket), instance=12, shard_bytes=3_000)
    split = asyncio.run(writer.write_split("test", three()))

    assert [shard.samples for shard in split.shards] == [1, 1, 1]
    assert split.shards[2].uri == f"s3://{bucket}/shards/test/test-012-000002.tar"
    assert split.class_counts == {3: 3}
