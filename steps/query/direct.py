"""Metadata read without Athena: for when its SerDe gives up on a file, which fails the query over all of them.

The consolidated Parquet is the same, but for what the SerDe cannot say: which file is malformed, and what a quantity
is that is not a number.
"""

from __future__ import annotations

import itertools
import logging
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.query.inventory import DOCUMENT
from steps.query.metadata import Item, MalformedError, Metadata, parse
from steps.query.objects import ParquetFile, reason, upload
from steps.runtime.s3 import open_store

if TYPE_CHECKING:
    from obstore.store import S3Store

log = logging.getLogger(__name__)

# Small files are a matter of requests in flight: 64 is where the rate stops to grow. Threads, since a blocking get
# costs a third less processor time than two awaits.
IN_FLIGHT = 64
# Files that a thread reads before it hands them over, and how many such batches may wait for their turn.
FILES_A_BATCH = 8
BATCHES_AHEAD = 2 * IN_FLIGHT
# Rows that are Python objects at a time, and rows of one Parquet file: as many as in a bucket of Athena's.
ROWS_A_GROUP = 8_192
ROWS_A_FILE = 250_000

_ITEM = pa.struct([("asin", pa.string()), ("name", pa.string()), ("quantity", pa.int32())])
SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string()),
        pa.field("quantity", pa.float64()),
        pa.field("quantity_kind", pa.string()),
        pa.field("items", pa.map_(pa.string(), _ITEM)),
        pa.field("path", pa.string()),
    ]
)
Value = TypeVar("Value")


def read(folder: S3Uri, ids: Iterable[str], convert: Callable[[bytes], Value]) -> Iterator[tuple[str, Value | str]]:
    """(id, `convert`(bytes)) of `folder`/{id}.json, in the order given, while the files that follow are fetched.

    For a file that `convert` finds malformed, or that is gone since it was listed, the reason stands in place of the
    value. Raises StepError where a file cannot be read (after the client's own retries).
    """
    store = open_store(folder.bucket)

    def work(batch: tuple[str, ...]) -> list[tuple[str, Value | str]]:
        return [(image_id, _read(store, folder.join(image_id + DOCUMENT), convert)) for image_id in batch]

    remaining = iter(ids)
    window: deque[Future[list[tuple[str, Value | str]]]] = deque()
    executor = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="metadata")
    try:
        while batch := tuple(itertools.islice(remaining, FILES_A_BATCH)):
            window.append(executor.submit(work, batch))
            if len(window) == BATCHES_AHEAD:
                yield from window.popleft().result()
        while window:
            yield from window.popleft().result()
    finally:
        executor.shutdown(cancel_futures=True)


def _read(store: S3Store, uri: S3Uri, convert: Callable[[bytes], Value]) -> Value | str:
    import obstore
    from obstore.exceptions import BaseError

    try:
        data = bytes(obstore.get(store, uri.key).bytes())
    except (BaseError, OSError) as error:
        if isinstance(error, FileNotFoundError) and "NoSuchBucket" not in str(error):
            return "it is gone since it was listed"
        raise StepError(f"{uri} cannot be read: {reason(error)}") from error
    try:
        return convert(data)
    except MalformedError as error:
        return f"it is malformed: {error}"


def consolidate(folder: S3Uri, ids: Iterable[str], output: S3Uri) -> int:
    """Write all that can be read as Parquet files below `output`; gives how many files are malformed or gone.

    Each of those is named in the log.
    """
    malformed = 0
    with tempfile.TemporaryDirectory() as scratch:
        parts = _Parts(Path(scratch), output)
        columns = _Columns()
        for image_id, found in read(folder, ids, parse):
            path = f"{folder}/{image_id}{DOCUMENT}"
            if isinstance(found, str):
                log.warning("%s is left out: %s", path, found)
                malformed += 1
                continue
            columns.append(image_id, found, path)
            if len(columns.image_id) == ROWS_A_GROUP:
                parts.write(columns.batch())
                columns = _Columns()
        parts.write(columns.batch())
        parts.close()
    return malformed


@dataclass
class _Columns:
    """Rows of SCHEMA as columns, the map's keys and items one after another."""

    image_id: list[str] = field(default_factory=list)
    quantity: list[float | None] = field(default_factory=list)
    kind: list[str] = field(default_factory=list)
    path: list[str] = field(default_factory=list)
    ends: list[int] = field(default_factory=lambda: [0])
    without: list[bool] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)

    def append(self, image_id: str, metadata: Metadata, path: str) -> None:
        self.image_id.append(image_id)
        self.quantity.append(metadata.quantity)
        self.kind.append(metadata.kind)
        self.path.append(path)
        self.without.append(metadata.items is None)
        self.items += metadata.items or ()
        self.ends.append(len(self.items))

    def batch(self) -> pa.RecordBatch:
        values = [
            pa.array([item.asin for item in self.items], pa.string()),
            pa.array([item.name for item in self.items], pa.string()),
            pa.array([item.quantity for item in self.items], pa.int32()),
        ]
        items = pa.MapArray.from_arrays(
            pa.array(self.ends, pa.int32()),
            pa.array([item.key for item in self.items], pa.string()),
            pa.StructArray.from_arrays(values, fields=list(_ITEM)),
            mask=pa.array(self.without, pa.bool_()),
        )
        columns = [
            pa.array(self.image_id, pa.string()),
            pa.array(self.quantity, pa.float64()),
            pa.array(self.kind, pa.string()),
            items,
            pa.array(self.path, pa.string()),
        ]
        return pa.record_batch(columns, schema=SCHEMA)


class _Parts:
    """Parquet files of at most ROWS_A_FILE rows, each put below `output` once it is whole."""

    def __init__(self, scratch: Path, output: S3Uri) -> None:
        self._scratch, self._output = scratch, output
        self._number = 0
        self._file: ParquetFile | None = None

    def write(self, batch: pa.RecordBatch) -> None:
        if self._file is None:
            self._file = ParquetFile(self._scratch / f"part-{self._number:05d}.parquet", SCHEMA)
        self._file.write(batch)
        if self._file.rows >= ROWS_A_FILE:
            self.close()

    def close(self) -> None:
        if self._file is None:
            return
        self._file.close()
        upload(self._file.path, self._output.join(self._file.path.name))
        self._file.path.unlink()
        self._file = None
        self._number += 1
