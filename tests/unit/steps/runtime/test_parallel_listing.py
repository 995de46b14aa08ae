"""A listing by several requests at a time is the listing page after page: the same objects in the same order."""

from __future__ import annotations

import itertools
import random
import socket
import threading
import time
import uuid
import weakref
from bisect import bisect_right
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from moto.s3.models import s3_backends

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.runtime import parallel_listing
from steps.runtime import s3 as s3_module
from steps.runtime.parallel_listing import Page, in_key_order
from steps.runtime.s3 import listed_in_parallel, listed_pages

REQUESTS = 8
# Names as photos have them, names of any text, and names with much in common.
DIGITS = st.integers(0, 9999).map(lambda number: f"{number}.jpg")
PADDED = st.integers(0, 9999).map(lambda number: f"{number:06d}.jpg")
ANY = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), max_size=5)
ALIKE = st.text("aZ0/ é😀", min_size=1, max_size=4).map(lambda end: f"{'x' * 260}{end}")
DEEP = st.text("a0-/", max_size=6)
NAMES = st.one_of(*(st.sets(kind, max_size=120) for kind in (DIGITS, PADDED, ANY, ALIKE, DEEP))) | st.sets(
    DIGITS | PADDED | ANY | DEEP, max_size=120
)


class Store:
    """A store of names that answers as S3, and counts."""

    def __init__(self, names: set[str], size: int, seconds: float = 0) -> None:
        self.names, self.size, self.seconds = sorted(names), size, seconds
        self.calls = self.most = self._flying = 0
        self._lock = threading.Lock()

    def fetch(self, after: str | None) -> Page[str]:
        with self._lock:
            self.calls += 1
            self._flying += 1
            self.most = max(self.most, self._flying)
        time.sleep(self.seconds)
        page = self.page(after)
        with self._lock:
            self._flying -= 1
        return page

    def page(self, after: str | None) -> Page[str]:
        start = 0 if after is None else bisect_right(self.names, after)
        names = self.names[start : start + self.size]
        return Page(names, names, start + self.size < len(self.names))


class Folders(Store):
    """A store that lists a folder's names where the folder's own name belongs, as servers with a file tree do."""

    def __init__(self, names: set[str], size: int) -> None:
        super().__init__(names, size)
        self.names.sort(key=lambda name: name.split("/"))
        self._places = [name.split("/") for name in self.names]

    def page(self, after: str | None) -> Page[str]:
        start = 0 if after is None else bisect_right(self._places, after.split("/"))
        names = self.names[start : start + self.size]
        return Page(names, names, start + self.size < len(self.names))


def listed(store: Store, requests: int = REQUESTS) -> list[str]:
    return [name for page in in_key_order(store.fetch, requests) for name in page]


@given(NAMES, st.integers(1, 9), st.integers(1, REQUESTS))
def test_every_name_comes_once_and_in_order(names: set[str], size: int, requests: int) -> None:
    store = Store(names, size)
    assert listed(store, requests) == sorted(names)
    assert store.most <= requests


@given(NAMES, st.integers(1, 9))
def test_a_server_that_sorts_by_folders_loses_none(names: set[str], size: int) -> None:
    """The local cloud's: `a/1` comes before `a-1`, and a cut at `a-0` would lose it."""
    store = Folders(names, size)
    assert listed(store) == store.names


def random_names(count: int) -> set[str]:
    numbers = random.Random(1)
    return {str(uuid.UUID(int=numbers.getrandbits(128))) for _ in range(count)}


CAMERAS = {
    f"cam{camera}-2026-{month:02d}-{day:02d}T{hour:02d}.jpg"
    for camera in range(3)
    for month in range(1, 13)
    for day in range(1, 29)
    for hour in range(0, 24, 2)
}
KINDS = {
    "padded digits": {f"{number:06d}.jpg" for number in range(10_000)},
    "digits": {f"{number}.jpg" for number in range(10_000)},
    "far apart": {f"{number:06d}" for number in range(5_000)} | {f"zz{number:06d}" for number in range(5_000)},
    "random": random_names(10_000),
    "dates": CAMERAS,
}


@pytest.mark.parametrize("names", KINDS.values(), ids=KINDS)
def test_requests_run_side_by_side_and_few_are_wasted(names: set[str]) -> None:
    pages = -(-len(names) // 100)
    # Several times, since what is wasted depends on the order of the answers.
    stores = [Store(names, 100, seconds=0.005) for _ in range(3)]
    for store in stores:
        assert listed(store, 16) == sorted(names)
        assert store.most > 8
    calls = sorted(store.calls for store in stores)
    assert calls[1] < 2 * pages
    assert calls[-1] < 2.5 * pages


def test_where_all_guesses_are_wrong_few_requests_are_sent_in_vain() -> None:
    """Clusters of less than a page, far apart: a range between two of them has nothing."""
    names = {f"{cluster * 7919:09d}-{number}" for cluster in range(300) for number in range(30)}
    store = Store(names, 100)
    assert listed(store, 16) == sorted(names)
    assert store.calls < 4 * len(names) / 100


class Thing:
    """An object of a listing, which is counted while it is in memory."""


def test_pages_in_memory_are_bounded_however_slow_the_reader_is() -> None:
    store = Store({f"{number:06d}" for number in range(20_000)}, 100)
    alive: weakref.WeakSet[Thing] = weakref.WeakSet()

    def fetch(after: str | None) -> Page[Thing]:
        names, _, truncated = store.fetch(after)
        things = [Thing() for _ in names]
        alive.update(things)
        return Page(names, things, truncated)

    most = read = 0
    for page in in_key_order(fetch, 4):
        read += len(page)
        time.sleep(0.001)
        most = max(most, len(alive))
    assert read == 20_000
    # Those of the reader too.
    assert 400 < most <= ((1 + parallel_listing.WAITING_PAGES) * 4 + 2) * 100


def test_a_reader_that_stops_stops_the_requests() -> None:
    store = Store({f"{number:06d}" for number in range(20_000)}, 100)
    pages = in_key_order(store.fetch, 4)
    next(pages)
    pages.close()
    calls = store.calls
    time.sleep(0.05)
    assert store.calls == calls < 30


def test_an_error_of_any_request_ends_the_listing() -> None:
    store = Store({f"{number:06d}" for number in range(20_000)}, 100)

    def fetch(after: str | None) -> Page[str]:
        if after is not None and after > "005":
            raise ConnectionError("the server is gone")
        return store.fetch(after)

    with pytest.raises(ConnectionError, match="the server is gone"):
        list(in_key_order(fetch, 4))


def test_a_server_that_does_not_list_after_a_key_is_refused() -> None:
    with pytest.raises(StepError, match="the listing after 'b' ends with it again; this S3 server does not list after"):
        list(in_key_order(lambda after: Page(["a", "b"], ["a", "b"], True), 4))


# --------------------------------------------------------------------------------------------------- over HTTP

ODD = [
    "",
    "//9.json",
    "./9.json",
    "../9.json",
    "a//b.json",
    "a-1.json",
    "a.json",
    "a/1.json",
    "a/2.json",
    "con\x01trol.json",
    "line\nfeed.json",
    "tab\t.jpg",
    "\x7f.jpg",
    " leading blank.json",
    "100%25+&.json",
    "plus+plus.json",
    '<tag> & "quotes" \'.json',
    "\N{RIGHT-TO-LEFT OVERRIDE}gpj.json",
    "é 5%20.json",
    "😀.json",
    "sub/",
]


@pytest.fixture(scope="module")
def keeper() -> Iterator[str]:
    """The URL of an S3 server that stores every key as AWS does; the local cloud's merges empty segments."""
    from moto.server import ThreadedMotoServer

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop()


def test_keys_that_others_have_are_listed_as_page_after_page(keeper: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "ENDPOINT_URL_S3": keeper}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    bucket = f"others-{uuid.uuid4().hex[:12]}"
    boto3.client("s3", endpoint_url=keeper, region_name="us-east-1").create_bucket(Bucket=bucket)
    names = [*ODD, *(f"{number}.json" for number in range(150))]
    for place, name in enumerate(names):
        # Not over HTTP, as the server's framework resolves some of these paths.
        s3_backends["123456789012"]["aws"].put_object(bucket, f"raw/{name}", b"x" * place)
    for size in (3, 7, 1_000):
        one_by_one = [entry for page in listed_pages(S3Uri(bucket, "raw/"), size) for entry in page]
        together = [entry for page in listed_in_parallel(S3Uri(bucket, "raw/"), 8, size) for entry in page]
        assert together == one_by_one
        assert len(together) == len(names)
    assert list(listed_in_parallel(S3Uri(bucket, "nothing/"))) == []


def test_the_local_cloud_lists_the_same_both_ways(s3: Any, bucket: str) -> None:
    names = [f"{number:04d}.json" for number in range(300)]
    names += [f"00{number}/{photo}.json" for number in range(10, 20) for photo in range(9)]
    names += [f"0010{sign}{number}.json" for sign in "!-+." for number in range(9)]
    with ThreadPoolExecutor(8) as executor:
        list(executor.map(lambda name: s3.put_object(Bucket=bucket, Key=f"raw/{name}", Body=b"{}"), names))
    for size in (3, 10, 100):
        one_by_one = [entry for page in listed_pages(S3Uri(bucket, "raw/"), size) for entry in page]
        together = [entry for page in listed_in_parallel(S3Uri(bucket, "raw/"), 8, size) for entry in page]
        assert together == one_by_one
        assert len(together) == len(names)


class _Body:
    """The rest of an answer, as urllib3 has it."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._content


BEGUN = b'<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>'
FAULTS = {
    1: (503, b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"),
    3: (200, b'<?xml version="1.0"?><Error><Code>InternalError</Code><Message>We are sorry</Message></Error>'),
    5: (200, BEGUN + b"<Contents><Key>raw/000"),
}


def test_a_page_that_is_refused_or_cut_off_is_asked_for_again(
    s3: Any, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        s3.put_object(Bucket=bucket, Key=f"raw/{number:04d}.json", Body=b"{}")
    made, faults, requests = s3_module.client, dict(FAULTS), itertools.count(1)

    def faulty(**options: Any) -> Any:
        client = made(**options)

        def answer(request: Any, **_: Any) -> AWSResponse | None:
            if (fault := faults.pop(next(requests), None)) is None:
                return None
            return AWSResponse(request.url, fault[0], {}, _Body(fault[1]))

        client.meta.events.register_first("before-send.s3.ListObjectsV2", answer)
        return client

    monkeypatch.setattr(s3_module, "client", faulty)
    listed = [entry.key for page in listed_in_parallel(S3Uri(bucket, "raw/"), 2, 3) for entry in page]
    assert listed == [f"raw/{number:04d}.json" for number in range(20)]
    assert not faults


def test_a_bucket_that_does_not_exist_is_an_error_of_s3(s3: Any) -> None:
    with pytest.raises(ClientError, match="NoSuchBucket"):
        list(listed_in_parallel(S3Uri("no-such-bucket-here", "raw/")))
