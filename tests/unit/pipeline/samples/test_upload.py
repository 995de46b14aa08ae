"""Bins into a bucket of a real S3 server."""

import socket
from collections import Counter
from collections.abc import Iterator

import pytest

from pipeline.samples.layout import Bin, image_key, metadata_key
from pipeline.samples.sources import Source, open_source
from pipeline.samples.upload import WINDOW, upload
from steps.contracts.errors import PipelineError, StepError
from steps.contracts.photo_files import LeftOut

MANY = 150


def small_bins(number: int) -> list[Bin]:
    return [Bin(f"{i:05d}", b"\xff\xd8\xff%d" % i, b'{"EXPECTED_QUANTITY": %d}' % i) for i in range(number)]


@pytest.mark.parametrize(("below", "root"), [("/raw/photos", "raw/photos/"), ("/raw/", "raw/"), ("", ""), ("/", "")])
def test_bins_lie_in_the_layout_of_the_data_set_below_the_prefix(s3, bucket: str, below: str, root: str) -> None:
    source = open_source(None, count=3, seed=5)
    uploaded = upload(source, f"s3://{bucket}{below}", lambda _: None)
    expected = {}
    for sample in open_source(None, count=3, seed=5):
        expected[root + image_key(sample.image_id)] = sample.jpeg
        expected[root + metadata_key(sample.image_id)] = sample.metadata
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys} == expected
    assert uploaded.count == 3
    assert uploaded.bytes == sum(len(data) for data in expected.values())


def test_objects_have_their_content_type(s3, bucket: str) -> None:
    upload(Source(lambda _: iter(small_bins(1))), f"s3://{bucket}/raw", lambda _: None)
    assert s3.head_object(Bucket=bucket, Key="raw/bin-images/00000.jpg")["ContentType"] == "image/jpeg"
    assert s3.head_object(Bucket=bucket, Key="raw/metadata/00000.json")["ContentType"] == "application/json"


def test_progress_adds_up_to_the_count(s3, bucket: str) -> None:
    calls: list[int] = []
    uploaded = upload(Source(lambda _: iter(small_bins(MANY))), f"s3://{bucket}/raw", calls.append)
    assert sum(calls) == uploaded.count == MANY
    assert len(calls) > 10


def test_no_more_bins_are_in_memory_than_a_window(s3, bucket: str) -> None:
    drawn, arrived, ahead = 0, 0, 0

    def read(_: Counter[str]) -> Iterator[Bin]:
        nonlocal drawn, ahead
        for sample in small_bins(MANY):
            drawn += 1
            ahead = max(ahead, drawn - arrived)
            yield sample

    def count(number: int) -> None:
        nonlocal arrived
        arrived += number

    upload(Source(read), f"s3://{bucket}/raw", count)
    assert arrived == MANY
    assert ahead <= WINDOW + 1


def test_what_the_source_left_out_is_reported(s3, bucket: str) -> None:
    def read(skipped: LeftOut) -> Iterator[Bin]:
        yield from small_bins(2)
        skipped.add("image-without-metadata", "bin-images/7.jpg")

    uploaded = upload(Source(read), f"s3://{bucket}/raw", lambda _: None)
    assert uploaded.skipped.sentence() == "1 image-without-metadata (bin-images/7.jpg)"


def test_a_missing_bucket_is_an_error_with_the_remedy(s3) -> None:
    with pytest.raises(PipelineError, match=r"s3://not-there-at-all/raw: the bucket does not exist; create it"):
        upload(Source(lambda _: iter(small_bins(3))), "s3://not-there-at-all/raw", lambda _: None)


def test_credentials_that_may_not_write_are_an_error(s3, bucket: str, monkeypatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(PipelineError, match=rf"^s3://{bucket}/raw: these credentials may not write there"):
        upload(Source(lambda _: iter(small_bins(3))), f"s3://{bucket}/raw", lambda _: None)


def test_a_server_that_cannot_be_reached_is_an_error_in_one_line(s3, monkeypatch) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{holder.getsockname()[1]}")
        with pytest.raises(PipelineError, match=r"s3://abc/raw: cannot be written: [^\n]+$"):
            upload(Source(lambda _: iter(small_bins(1))), "s3://abc/raw", lambda _: None)


def test_missing_credentials_are_an_error_with_the_remedy(s3, monkeypatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(PipelineError, match="no AWS credentials were found"):
        upload(Source(lambda _: iter(small_bins(1))), "s3://abc/raw", lambda _: None)


@pytest.mark.parametrize("text", ["/tmp/x", "https://bucket/x", "s3://Bad_Bucket/x", "s3://"])
def test_a_destination_that_is_no_s3_uri_is_refused_before_anything_is_read(text: str) -> None:
    def read(_: Counter[str]) -> Iterator[Bin]:
        pytest.fail("the source was read")
        yield

    with pytest.raises(StepError, match="is not an S3 URI; write s3://bucket/prefix"):
        upload(Source(read), text, lambda _: None)


def test_an_error_of_the_source_ends_the_upload(s3, bucket: str) -> None:
    def read(_: Counter[str]) -> Iterator[Bin]:
        yield from small_bins(5)
        raise PipelineError("bins.tar: ends within metadata/00009.json")

    with pytest.raises(PipelineError, match="ends within"):
        upload(Source(read), f"s3://{bucket}/raw", lambda _: None)
