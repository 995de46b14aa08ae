"""Ids from a listing, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from steps.contracts.errors import StepError
from steps.contracts.photo_files import LeftOut, is_folder, reason_of
from steps.contracts.s3_uri import S3Uri
from steps.query.execution import service_errors
from steps.runtime.listings import StoredObject
from steps.runtime.s3 import listed_in_parallel

# Keys per request of S3.
PAGE = 1_000
T = TypeVar("T")


class Entry(NamedTuple):
    """A listed file: its id, its name, its ETag without quotes, and its size in bytes."""

    image_id: str
    name: str
    etag: str
    size: int


def list_files(folder: S3Uri, id_of: Callable[[str], str | None], left_out: LeftOut) -> Iterator[Entry]:
    """The files directly in `folder` that have an id by `id_of`, in S3's order; the next page is read ahead.

    The other ones, and those in folders below, are counted in `left_out`, as `FOLDER/NAME`. Raises StepError if the
    folder cannot be listed.
    """
    return entries_of(_pages(folder), folder, id_of, left_out)


def entries_of(
    pages: Iterable[list[StoredObject]], folder: S3Uri, id_of: Callable[[str], str | None], left_out: LeftOut
) -> Iterator[Entry]:
    """The files of `list_files` from pages of objects below `folder`, in their order; a thread gets the next page."""
    prefix = f"{folder.key}/"
    title = folder.key.rpartition("/")[2]
    for page in _ahead(pages):
        for entry in page:
            name = entry.key.removeprefix(prefix)
            image_id = id_of(name)
            if image_id is not None:
                yield Entry(image_id, name, entry.etag, entry.size)
            elif not is_folder(name):
                left_out.add(reason_of(name), f"{title}/{name}")


def _pages(folder: S3Uri) -> Iterator[list[StoredObject]]:
    with service_errors(f"listing {folder}/"):
        yield from listed_in_parallel(S3Uri(folder.bucket, f"{folder.key}/"), page_size=PAGE)


def _ahead(items: Iterable[T]) -> Iterator[T]:
    """The items; a thread fetches the next one while one is used."""
    remaining = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="listing") as executor:
        upcoming = executor.submit(next, remaining, None)
        while (item := upcoming.result()) is not None:
            upcoming = executor.submit(next, remaining, None)
            yield item


def in_order(entries: Iterable[Entry], folder: str) -> Iterator[Entry]:
    """The entries, checked to be in ascending order of id + ".", the order of their keys. Raises StepError.

    Photos with the same id and other suffixes are next to each other, in the order of their names.
    """
    before, name = "", ""
    for entry in entries:
        key = f"{entry.image_id}."
        if (key, entry.name) <= (before, name):
            raise StepError(
                f"the listing of {folder}/ contains {key[:-1]!r} after {before[:-1]!r}, which is not the order of keys;"
                " directory buckets have no order: copy the data to a general purpose bucket"
            )
        before, name = key, entry.name
        yield entry
