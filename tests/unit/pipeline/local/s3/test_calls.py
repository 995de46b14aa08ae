"""What a request is about, read as the object server reads it."""

import pytest

from pipeline.local.s3.calls import InvalidCallError, call_of
from pipeline.local.s3.framing import Head


def call(target: str, method: str = "GET", **headers: str):
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return call_of(Head(b"", method, target, fields, 0, True))


@pytest.mark.parametrize(
    ("target", "bucket", "key", "query"),
    [
        ("/", "", "", {}),
        ("/bucket", "bucket", "", {}),
        ("/bucket/", "bucket", "", {}),
        ("/bucket/a/b", "bucket", "a/b", {}),
        ("/bucket/a/b/", "bucket", "a/b/", {}),
        ("/bucket/a%20b%2Fc%3F%2A+%25", "bucket", "a b/c?*+%", {}),
        ("/bucket%2Fa", "bucket", "a", {}),
        ("/bucket/%C3%BC", "bucket", "ü", {}),
        ("/bucket/.hidden/..more", "bucket", ".hidden/..more", {}),
        (
            "/bucket?list-type=2&prefix=a%2Fb&delimiter=",
            "bucket",
            "",
            {"list-type": "2", "prefix": "a/b", "delimiter": ""},
        ),
        ("/bucket?policy", "bucket", "", {"policy": ""}),
    ],
)
def test_bucket_key_and_parameters(target, bucket, key, query):
    read = call(target)
    assert (read.bucket, read.key, read.query) == (bucket, key, query)


@pytest.mark.parametrize(
    "target",
    [
        "/bucket/a//b",
        "/bucket//a",
        "//bucket/a",
        "/bucket/a/../b",
        "/bucket/..",
        "/bucket/%2e%2e/b",
        "/bucket/a/%2E/b",
        "/bucket/./b",
        "/bucket%2F%2Fa",
        "/bucket?prefix=a//b",
        "/bucket?prefix=open/../secret",
        "/bucket/a%2",
        "/bucket/a%zz",
        "/bucket?prefix=%",
        "/bucket?prefix=a;versions",
        "/bucket?prefix=a&prefix=b",
        "/bucket/k?versionId=1&versionId=2",
    ],
)
def test_what_the_object_server_would_read_otherwise_is_refused(target):
    with pytest.raises(InvalidCallError):
        call(target)


@pytest.mark.parametrize("source", ["/b/a/../c", "b/a%2F%2e%2e%2Fc", "b//c", "/b/./c?versionId=1", "b/a+b", "b/100%"])
def test_the_source_of_a_copy_is_read_in_the_same_way(source):
    with pytest.raises(InvalidCallError):
        call("/bucket/k", "PUT", x_amz_copy_source=source)


@pytest.mark.parametrize(
    ("target", "plain"),
    [
        ("/bucket", True),
        ("/bucket/?x-id=CreateBucket", True),
        ("/bucket?X-Amz-Signature=1&X-Amz-Date=2", True),
        ("/bucket?versioning", False),
        ("/bucket/key", False),
        ("/", False),
    ],
)
def test_whether_a_request_is_about_the_bucket_itself(target, plain):
    assert call(target).is_plain_bucket is plain
