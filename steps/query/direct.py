"""Metadata files read without Athena, for data with a file that fails Athena's SerDe and so the query over all files.

The consolidated Parquet is the same, with two facts that the SerDe does not report: which file is malformed, and the
type of a quantity that is not a number.
"""

from __future__ import annotations

import itertools
import logging
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

from steps.contracts.bin_metadata import MalformedError
from steps.contracts.consolidated import ITEM, MEASURE, SCHEMA
from steps.contracts.errors import StepError
from steps.contracts.exploration import MEASURES
from steps.contracts.s3_uri import S3Uri
from steps.query.inventory import DOCUMENT
from steps.query.metadata import Measure, Metadata, parse
from steps.query.objects import ParquetFile, reason_of, upload
from steps.runtime.s3 import open_store, send

if TYPE_CHECKING:
    from obstore.store import S3Store

log = logging.getLogger(__name__)

# The rate of small files depends on the requests in flight, and grows no further above 64. Threads, because a blocking
# get costs a third less processor time than two awaits.
IN_FLIGHT = 64
# Files per batch, which one thread reads, and batches that are read ahead.
FILES_PER_BATCH = 8
BATCHES_AHEAD = 2 * IN_FLIGHT
# Rows that are Python objects at the same time, and rows per Parquet file: the number of Athena's tables.
ROWS_PER_GROUP = 8_192
ROWS_PER_FILE = 250_000

Value = TypeVar("Value")


def read(folder: S3Uri, ids: Iterable[str], convert: Callable[[bytes], Value]) -> Iterator[tuple[str, Value | str]]:
    """(id, `convert`(bytes)) of `folder`/{id}.json in the order of `ids`; the files that follow are read ahead.

    For a malformed file, and for a file that was deleted after it was listed, the value is the reason as text. Raises
    StepError for a file that cannot be read, after the client's own retries.
    """
    store = open_store(folder.bucket)

    def work(batch: tuple[str, ...]) -> list[tuple[str, Value | str]]:
        return [(image_id, _read(store, folder.join(image_id + DOCUMENT), convert)) for image_id in batch]

    remaining = iter(ids)
    window: deque[Future[list[tuple[str, Value | str]]]] = deque()
    executor = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="metadata")
    try:
        while batch := tuple(itertools.islice(remaining, FILES_PER_BATCH)):
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
        data = bytes(send(lambda: obstore.get(store, uri.key).bytes()))
    except (BaseError, OSError) as error:
        if isinstance(error, FileNotFoundError) and "NoSuchBucket" not in str(error):
            return "it was deleted after it was listed"
        raise StepError(f"{uri} cannot be read: {reason_of(error)}") from error
    try:
        return convert(data)
    except MalformedError as error:
        return f"it is malformed: {error}"


def consolidate(folder: S3Uri, ids: Iterable[str], output: S3Uri) -> int:
    """Write the readable files as Parquet below `output`; returns the number of malformed and deleted files.

    The log names each of these.
    """
    malformed = 0
    with tempfile.TemporaryDirectory() as scratch:
        parts = _Parts(Path(scratch), output)
        rows: list[tuple[str, Metadata]] = []
        for image_id, metadata in read(folder, ids, parse):
            if isinstance(metadata, str):
                log.warning("%s/%s%s is left out: %s", folder, image_id, DOCUMENT, metadata)
                malformed += 1
                continue
            rows.append((image_id, metadata))
            if len(rows) == ROWS_PER_GROUP:
                parts.write(record_batch(rows, folder))
                rows = []
        parts.write(record_batch(rows, folder))
        parts.close()
    return malformed


def record_batch(rows: list[tuple[str, Metadata]], folder: S3Uri) -> pa.RecordBatch:
    """(id, metadata) of files in `folder` as columns of SCHEMA."""
    documents = [metadata for _, metadata in rows]
    contents = [item for metadata in documents for item in metadata.items or ()]
    ends = itertools.accumulate((len(metadata.items or ()) for metadata in documents), initial=0)
    values = [
        pa.array([item.asin for item in contents], pa.string()),
        pa.array([item.name for item in contents], pa.string()),
        pa.array([item.quantity for item in contents], pa.int32()),
        *(_measures([item.measures[place] for item in contents]) for place in range(len(MEASURES))),
    ]
    items = pa.MapArray.from_arrays(
        pa.array(ends, pa.int32()),
        pa.array([item.key for item in contents], pa.string()),
        pa.StructArray.from_arrays(values, fields=list(ITEM)),
        mask=pa.array([metadata.items is None for metadata in documents], pa.bool_()),
    )
    columns = {
        "image_id": [image_id for image_id, _ in rows],
        "quantity": [metadata.quantity for metadata in documents],
        "quantity_kind": [metadata.kind for metadata in documents],
        "items": items,
        "bin_group": [metadata.group for metadata in documents],
        "path": [f"{folder}/{image_id}{DOCUMENT}" for image_id, _ in rows],
    }
    return pa.record_batch(columns, schema=SCHEMA)


def _measures(measures: list[Measure]) -> pa.StructArray:
    columns = [
        pa.array([measure.unit for measure in measures], pa.string()),
        pa.array([measure.value for measure in measures], pa.float64()),
    ]
    return pa.StructArray.from_arrays(columns, fields=list(MEASURE))


class _Parts:
    """Parquet files of at most ROWS_PER_FILE rows, each uploaded to `output` when it is complete."""

    def __init__(self, scratch: Path, output: S3Uri) -> None:
        self._scratch, self._output = scratch, output
        self._number = 0
        self._file: ParquetFile | None = None

    def write(self, batch: pa.RecordBatch) -> None:
        if self._file is None:
            self._file = ParquetFile(self._scratch / f"part-{self._number:05d}.parquet", SCHEMA)
        self._file.write(batch)
        if self._file.rows >= ROWS_PER_FILE:
            self.close()

    def close(self) -> None:
        if self._file is None:
            return
        self._file.close()
        upload(self._file.path, self._output.join(self._file.path.name))
        self._file.path.unlink()
        self._file = None
        self._number += 1
