"""Photos out of S3: order, bounds, and what S3's bad days do."""

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from obstore.store import S3Store

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.photos.jpeg import ImageError
from steps.runtime.s3 import open_store
from steps.shard import photos
from steps.shard.bucket import Photo
from steps.shard.photos import PhotoSource, in_order, open_source
from tests.unit.steps.faulty_s3 import serve
from tests.unit.steps.shard.conftest import jpeg

LOCATION = S3Uri("a-bucket", "raw")


def photo(number: int, etag: str = "1", size: int = 1_000) -> Photo:
    return Photo("train", f"{number}", f"{number}.jpg", 1, etag, size)


def prepare(location: S3Uri = LOCATION, one_photo: Photo | None = None):
    async def one():
        async with open_source(location, 0, 90, 1) as source:
            return await source.prepare(one_photo or photo(1))

    return asyncio.run(one())


@pytest.mark.parametrize("how", ["503", "cut"])
def test_requests_that_fail_for_a_while_are_repeated(how: str, monkeypatch: pytest.MonkeyPatch):
    with serve(jpeg(1), lambda n: how if n < 3 else "", monkeypatch) as s3:
        assert prepare() == jpeg(1)
        assert len(s3.ranges) == 3


def test_a_service_that_stays_down_fails_and_names_the_photo(monkeypatch: pytest.MonkeyPatch):
    with serve(jpeg(1), lambda n: "503", monkeypatch) as s3, ThreadPoolExecutor(1) as threads:
        impatient = S3Store(
            LOCATION.bucket,
            endpoint=os.environ["AWS_ENDPOINT_URL_S3"],
            region="us-east-1",
            client_options={"allow_http": True},
            retry_config={"max_retries": 2},
        )
        source = PhotoSource(LOCATION, 0, 90, impatient, threads)
        with pytest.raises(StepError, match=r"^s3://a-bucket/raw/1.jpg: reading it failed, with all retries: .*503"):
            asyncio.run(source.prepare(photo(1)))
        assert len(s3.ranges) == 3


def test_access_denied_is_not_a_missing_photo(monkeypatch: pytest.MonkeyPatch):
    with (
        serve(jpeg(1), lambda n: "403", monkeypatch),
        pytest.raises(StepError, match=r"s3://a-bucket/raw/1.jpg: access denied; .*s3:GetObject"),
    ):
        prepare()


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        (photo(1, size=photos.MAX_BYTES + 1), "too-large"),
        (photo(1, etag="0"), "replaced"),
        (photo(2), "missing-image"),
    ],
)
def test_an_object_that_is_not_what_was_labelled_is_refused(what: Photo, reason: str, s3, bucket: str):
    s3.put_object(Bucket=bucket, Key="raw/1.jpg", Body=jpeg(1))

    refused = prepare(S3Uri(bucket, "raw"), what)

    assert isinstance(refused, ImageError)
    assert refused.reason == reason


def test_keys_with_spaces_and_signs_are_found(s3, bucket: str):
    etag = s3.put_object(Bucket=bucket, Key="raw/a b/é+%20?.jpg", Body=jpeg(1))["ETag"].strip('"')

    assert prepare(S3Uri(bucket, "raw"), Photo("train", "1", "a b/é+%20?.jpg", 1, etag, 1_000)) == jpeg(1)


@pytest.mark.parametrize(
    ("size", "at_once"), [(1_000, photos.IN_FLIGHT), (photos.BYTES_IN_FLIGHT // 3, 3), (photos.BYTES_IN_FLIGHT * 2, 1)]
)
def test_photos_come_in_order_and_never_more_than_the_window_at_once(size: int, at_once: int, s3, bucket: str):
    running = most = 0

    class Slow(PhotoSource):
        async def prepare(self, photo: Photo):
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.001 * (int(photo.image_id) * 7 % 5))
            running -= 1
            return photo.image_id.encode()

    async def listed() -> AsyncIterator[Photo]:
        for number in range(300):
            yield photo(number, size=size)

    async def collect(threads: ThreadPoolExecutor) -> list[bytes | ImageError]:
        source = Slow(LOCATION, 0, 90, open_store(bucket), threads)
        return [result async for _, result in in_order(source, listed())]

    with ThreadPoolExecutor(1) as threads:
        assert asyncio.run(collect(threads)) == [str(n).encode() for n in range(300)]
    assert most == at_once
