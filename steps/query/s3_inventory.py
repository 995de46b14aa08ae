"""The raw location by a list of S3 Inventory, in the order of a listing.

The files of a list are in no order, so the keys of both folders are sorted by DuckDB on disk: memory is bounded by
MEMORY, and the disk holds about 100 bytes per object at a time. Keys of Parquet lists are as they are;
those of CSV are encoded: https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory.html
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from steps.contracts import s3_inventory
from steps.contracts.errors import StepError
from steps.contracts.s3_inventory import ETAG, IS_DELETE_MARKER, IS_LATEST, KEY, SIZE, File, ListedBy
from steps.contracts.s3_uri import S3Uri
from steps.contracts.wording import count_of
from steps.query.execution import service_errors
from steps.runtime.listings import StoredObject
from steps.runtime.s3 import client, open_store, s3_errors, send

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY = "600MB"
# Threads of the sort, each of which needs some of the memory.
THREADS = 4
# Objects that are Python objects at the same time.
PAGE = 1_000
# A list "might not include recently added or deleted objects", and from when on it does is not published.
SETTLED = timedelta(days=1)
_CHUNK = 1 << 20
# A row group is in memory while it is written.
_WRITTEN = "(FORMAT parquet, ROW_GROUP_SIZE 16384)"
_MISSING = ("NoSuchKey", "404")
log = logging.getLogger(__name__)


class S3Inventory:
    """The newest complete list of a configuration, checked against the bucket of the photos."""

    def __init__(self, location: S3Uri, source_bucket: str) -> None:
        """Find the list below `location`. Raises StepError, with the remedy, where none fits."""
        location = S3Uri(location.bucket, location.key.rstrip("/"))
        with service_errors(f"reading the inventory below {location}/"):
            self.uri, self.manifest = s3_inventory.newest(location, _folders(location), _read)
        s3_inventory.check(self.manifest, self.uri, source_bucket)

    def listed_by(self, now: datetime) -> ListedBy:
        """The list as the summary has it; its age is logged."""
        age = now - self.manifest.begun
        read = ListedBy(manifest=str(self.uri), begun=self.manifest.begun, age_seconds=int(age.total_seconds()))
        log.info("the photos are those of the %s (%s)", read.sentence(), self.uri)
        if s3_inventory.is_late(self.manifest, now):
            log.warning("no newer list has come for %s: is its configuration enabled?", s3_inventory.duration(age))
        return read

    def sort(self, folders: Iterable[S3Uri], scratch: Path) -> None:
        """Get the files, and write the objects below each folder to a file in `scratch`, in the order of keys.

        Raises StepError for a file that is missing or damaged.
        """
        chosen = list(folders)
        with closing(_connect(scratch)) as database:
            for number, file in enumerate(self.manifest.files):
                self._select(database, file, chosen, scratch / f"part-{number}.parquet")
            if not self.manifest.files:
                return
            for folder in chosen:
                with _database_errors(f"sorting the objects of {folder}/ on disk"):
                    database.execute(
                        f"COPY (SELECT * FROM read_parquet(?) WHERE starts_with({KEY}, ?) ORDER BY {KEY})"  # noqa: S608
                        f" TO '{_quoted(_sorted(folder, scratch))}' {_WRITTEN}",
                        [str(scratch / "part-*.parquet"), f"{folder.key}/"],
                    )
        for part in scratch.glob("part-*.parquet"):
            part.unlink()
        log.info("%s of the list are sorted", count_of(len(self.manifest.files), "file"))

    def _select(self, database: DuckDBPyConnection, file: File, folders: list[S3Uri], part: Path) -> None:
        """The current objects below the folders in one file of the list, as a local file."""
        uri = S3Uri(self.uri.bucket, file.key)
        copy = part.with_name("copy.parquet")
        _fetch(uri, file, copy)
        conditions = [" OR ".join(f"starts_with({KEY}, ?)" for _ in folders)]
        if IS_LATEST in self.manifest.columns:
            conditions.append(f"coalesce({IS_LATEST}, true)")
        if IS_DELETE_MARKER in self.manifest.columns:
            conditions.append(f"NOT coalesce({IS_DELETE_MARKER}, false)")
        with _database_errors(f"{uri} cannot be read as a file of S3 Inventory"):
            database.execute(
                f"COPY (SELECT {KEY}, coalesce({SIZE}, 0) AS {SIZE}, coalesce({ETAG}, '') AS {ETAG}"  # noqa: S608
                f" FROM read_parquet(?) WHERE {' AND '.join(f'({condition})' for condition in conditions)})"
                f" TO '{_quoted(part)}' {_WRITTEN}",
                [str(copy), *(f"{folder.key}/" for folder in folders)],
            )
        copy.unlink()

    def pages(self, folder: S3Uri, scratch: Path) -> Iterator[list[StoredObject]]:
        """The objects below a folder that `sort` wrote to `scratch`, in the order of keys.

        Raises StepError if S3 has older objects before or after them, which a filter of the configuration left out.
        """
        first = last = None
        file = _sorted(folder, scratch)
        if file.exists():
            with pq.ParquetFile(file) as rows:
                for batch in rows.iter_batches(PAGE):
                    columns = (batch[name].to_pylist() for name in (KEY, SIZE, ETAG))
                    page = []
                    for key, size, etag in zip(*columns, strict=True):
                        if key != last:
                            page.append(StoredObject(key, size, self.manifest.begun, etag.strip('"')))
                            first, last = first or key, key
                    if page:
                        yield page
        self._check_cover(folder, first, last)

    def _check_cover(self, folder: S3Uri, first: str | None, last: str | None) -> None:
        """Ask S3 for the keys outside of the list's: a filter is a prefix, so what it leaves out is at the ends."""
        with service_errors(f"listing {folder}/"):
            request = {"Bucket": folder.bucket, "Prefix": f"{folder.key}/"}
            answers = [client().list_objects_v2(**request)]
            if last is not None:
                answers.append(client().list_objects_v2(**request, StartAfter=last))
        before, *after = (answer.get("Contents", []) for answer in answers)
        outside = [entry for entry in before if first is None or entry["Key"] < first]
        outside += [entry for page in after for entry in page]
        missing = next((entry for entry in outside if self._is_settled(entry)), None)
        if missing is not None:
            raise StepError(
                f"{self.uri} lacks {missing['Key']}, which was in S3 before ({missing['LastModified']:%Y-%m-%d}); take"
                " the prefix filter out of the inventory configuration, or set it to the folder of bin-images and"
                " metadata"
            )

    def _is_settled(self, entry: dict[str, Any]) -> bool:
        return not entry["Key"].endswith("/") and bool(entry["LastModified"] < self.manifest.begun - SETTLED)


def read(location: S3Uri, source_bucket: str) -> tuple[S3Inventory, ListedBy]:
    """The newest complete list below `location` of the bucket with the photos, and its age now."""
    inventory = S3Inventory(location, source_bucket)
    return inventory, inventory.listed_by(datetime.now(UTC))


def _folders(location: S3Uri) -> list[str]:
    prefix = f"{location.key}/" if location.key else ""
    pages = client().get_paginator("list_objects_v2").paginate(Bucket=location.bucket, Prefix=prefix, Delimiter="/")
    prefixes = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])]
    return [name.removeprefix(prefix).rstrip("/") for name in prefixes]


def _read(uri: S3Uri) -> bytes | None:
    from botocore.exceptions import ClientError

    try:
        return bytes(client().get_object(Bucket=uri.bucket, Key=uri.key)["Body"].read())
    except ClientError as error:
        if error.response["Error"]["Code"] in _MISSING:
            return None
        raise


def _fetch(uri: S3Uri, file: File, path: Path) -> None:
    """Get a file of the list. Raises StepError if it is missing, or not the file that the manifest names."""
    import obstore

    digest = hashlib.md5(usedforsecurity=False)
    with s3_errors(uri, "reading"), path.open("wb") as copy:
        store = open_store(uri.bucket)
        for chunk in send(lambda: obstore.get(store, uri.key)).stream(min_chunk_size=_CHUNK):
            digest.update(chunk)
            copy.write(chunk)
    if digest.hexdigest() != file.md5.lower():
        raise StepError(f"{uri} does not have the MD5 of the manifest, {file.md5}: it was replaced or is damaged")


def _connect(scratch: Path) -> DuckDBPyConnection:
    import duckdb

    return duckdb.connect(
        config={
            "memory_limit": MEMORY,
            "temp_directory": str(scratch / "spilled"),
            "threads": min(THREADS, os.cpu_count() or 1),
            # Without an extension that would be downloaded.
            "autoinstall_known_extensions": False,
            "preserve_insertion_order": False,
        }
    )


@contextmanager
def _database_errors(problem: str) -> Iterator[None]:
    """Turn DuckDB's errors into a StepError that begins with the problem."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        reason = str(error).partition("\n")[0]
        raise StepError(f"{problem}: {reason}") from error


def _sorted(folder: S3Uri, scratch: Path) -> Path:
    return scratch / f"sorted-{folder.key.rpartition('/')[2]}.parquet"


def _quoted(path: Path) -> str:
    """A path within the quotes of an SQL literal."""
    return str(path).replace("'", "''")
