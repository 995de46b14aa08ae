"""Ids from a listing, a page at a time: never all of them in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.query.objects import store_errors
from steps.runtime.s3 import open_store

# S3 gives as many keys a request.
PAGE = 1_000
T = TypeVar("T")


class Entry(NamedTuple):
    """A listed file: its name without suffix, its ETag without quotes, and its size in bytes."""

    image_id: str
    etag: str
    size: int


def list_files(folder: S3Uri, suffix: str) -> Iterator[Entry]:
    """The files directly in `folder` whose name ends with `suffix`, in S3's order, while the next page is on its way.

    What lies deeper is another layout, not another id. Raises StepError where the folder cannot be listed.
    """
    prefix = f"{folder.key}/"
    for page in _ahead(_pages(folder, prefix)):
        for entry in page:
            path = entry["path"]
            name = path[len(prefix) :]
            if path.startswith(prefix) and name.endswith(suffix) and "/" not in name:
                yield Entry(name[: -len(suffix)], (entry["e_tag"] or "").strip('"'), entry["size"])


def _pages(folder: S3Uri, prefix: str) -> Iterator[list[dict[str, Any]]]:
    import obstore

    with store_errors(f"listing {folder}/"):
        yield from obstore.list(open_store(folder.bucket), prefix, chunk_size=PAGE)


def _ahead(items: Iterable[T]) -> Iterator[T]:
    """The items, each fetched by a thread while the one before it is used."""
    remaining = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="listing") as executor:
        coming = executor.submit(next, remaining, None)
        while (item := coming.result()) is not None:
            coming = executor.submit(next, remaining, None)
            yield item


class OrderError(StepError):
    """A listing that does not come in the order of keys, as general purpose buckets give it."""


def in_order(entries: Iterable[Entry], folder: str) -> Iterator[Entry]:
    """The entries, checked to be in ascending order of id + "." (that of their keys). Raises OrderError."""
    before = ""
    for entry in entries:
        key = f"{entry.image_id}."
        if key <= before:
            raise OrderError(
                f"the listing of {folder}/ gives {key[:-1]!r} after {before[:-1]!r}: not in the order of keys, as of a"
                " directory bucket; copy the data to a general purpose bucket"
            )
        before = key
        yield entry
