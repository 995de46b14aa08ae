"""Ids from a listing, page by page: two pages are in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.query.objects import store_errors
from steps.runtime.s3 import open_store

# Keys per request of S3.
PAGE = 1_000
T = TypeVar("T")


class Entry(NamedTuple):
    """A listed file: its name without suffix, its ETag without quotes, and its size in bytes."""

    image_id: str
    etag: str
    size: int


def list_files(folder: S3Uri, suffix: str) -> Iterator[Entry]:
    """The files directly in `folder` whose name ends with `suffix`, in S3's order; the next page is read ahead.

    Files in folders below it have another layout and are no ids. Raises StepError if the folder cannot be listed.
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
    """The items; a thread fetches the next one while one is used."""
    remaining = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="listing") as executor:
        upcoming = executor.submit(next, remaining, None)
        while (item := upcoming.result()) is not None:
            upcoming = executor.submit(next, remaining, None)
            yield item


def in_order(entries: Iterable[Entry], folder: str) -> Iterator[Entry]:
    """The entries, checked to be in ascending order of id + ".", the order of their keys. Raises StepError."""
    before = ""
    for entry in entries:
        key = f"{entry.image_id}."
        if key <= before:
            raise StepError(
                f"the listing of {folder}/ contains {key[:-1]!r} after {before[:-1]!r}, which is not the order of keys;"
                " directory buckets have no order: copy the data to a general purpose bucket"
            )
        before = key
        yield entry
