"""Buckets in another region than the job: S3 answers 301 without a Location, which obstore does not follow."""

import http.server
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from botocore.utils import parse_timestamp

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.runtime.listings import parse_time
from steps.runtime.s3 import list_objects, open_store, read_object, stored_objects, write_object

SCOPE = re.compile(r"Credential=[^/]+/\d{8}/([^/]+)/s3/aws4_request")


class Regions:
    """Buckets with their regions, the requests by method, and the status of HeadBucket of readable buckets."""

    def __init__(self, buckets: dict[str, str]) -> None:
        self.buckets = buckets
        self.requests: Counter[str] = Counter()
        self.objects = {"/far/photo": b"jpeg", "/near/photo": b"jpeg"}
        self.may_head = True


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    regions: Regions

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer("HEAD")

    def do_GET(self):
        self.answer("GET")

    def do_PUT(self):
        self.regions.objects[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer("PUT")

    def answer(self, method: str) -> None:
        self.regions.requests[method] += 1
        bucket = self.path.strip("/").split("/")[0].partition("?")[0]
        region = self.regions.buckets.get(bucket)
        signed = SCOPE.search(self.headers.get("Authorization", ""))
        if region is None:
            self.respond(404, b"<Error><Code>NoSuchBucket</Code></Error>", {})
        elif signed and signed[1] != region:
            self.respond(301, b"<Error><Code>PermanentRedirect</Code></Error>", {"x-amz-bucket-region": region})
        elif method == "HEAD":
            self.respond(200 if self.regions.may_head else 403, b"", {"x-amz-bucket-region": region})
        elif "list-type=2" in self.path:
            entry = "<Key>photo</Key><Size>4</Size><LastModified>2026-11-23T03:16:39.000Z</LastModified>"
            self.respond(200, f"<ListBucketResult><Contents>{entry}</Contents></ListBucketResult>".encode(), {})
        else:
            self.respond(200, self.regions.objects[self.path], {"ETag": '"1"'})

    def respond(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        length = {"Content-Length": str(len(content)), "Last-Modified": "Mon, 23 Nov 2026 03:16:39 GMT"}
        for name, value in {**length, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@contextmanager
def serve(patch, **buckets: str) -> Iterator[Regions]:
    """S3 with these buckets, for a job in eu-central-1."""
    regions = Regions(buckets)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"regions": regions}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        patch.delenv(name, raising=False)
    patch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_port}")
    patch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    patch.setenv("AWS_ACCESS_KEY_ID", "key")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    try:
        yield regions
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("may_head", [True, False])
def test_a_bucket_in_another_region_is_read_and_written_there(monkeypatch, may_head: bool) -> None:
    """HeadBucket returns the region also to those who may not list the bucket."""
    with serve(monkeypatch, far="us-east-1", near="eu-central-1") as regions:
        regions.may_head = may_head
        assert read_object(S3Uri("far", "photo")) == b"jpeg"
        assert read_object(S3Uri("near", "photo")) == b"jpeg"
        assert write_object(S3Uri("far", "new"), b"{}")
        assert regions.objects["/far/new"] == b"{}"
        assert list(list_objects(S3Uri("far", ""))) == [("photo", 4)]


def test_the_region_is_looked_up_once_per_bucket(monkeypatch) -> None:
    with serve(monkeypatch, near="eu-central-1") as regions:
        for _ in range(5):
            assert read_object(S3Uri("near", "photo")) == b"jpeg"
        assert regions.requests["HEAD"] == 1


def test_a_public_bucket_in_another_region_is_read_without_a_signature(monkeypatch) -> None:
    with serve(monkeypatch, far="us-east-1") as regions:
        monkeypatch.setattr("steps.runtime.s3.DEFAULT_REGION", "eu-central-1")
        store = open_store("far", anonymous=True)
        assert store.config["region"] == "us-east-1"
        assert regions.requests["HEAD"] == 1


def test_a_missing_bucket_is_reported_by_the_request_itself(monkeypatch) -> None:
    with serve(monkeypatch), pytest.raises(StepError, match=r"^s3://gone/photo: .*"):
        read_object(S3Uri("gone", "photo"))


def test_times_of_a_listing_are_read_by_the_quick_parser(monkeypatch) -> None:
    with serve(monkeypatch, near="eu-central-1"):
        (entry,) = stored_objects(S3Uri("near", ""))
    assert entry.modified == datetime(2026, 11, 23, 3, 16, 39, tzinfo=UTC)
    assert entry.modified.tzinfo is UTC  # botocore's own parser has a zone of dateutil


@pytest.mark.parametrize("text", ["Mon, 23 Nov 2026 03:16:39 GMT", "2026-11-23T03:16:39Z", "1795403799", 1795403799])
def test_other_times_are_read_as_botocore_reads_them(text: str | int) -> None:
    assert parse_time(text) == parse_timestamp(text)
