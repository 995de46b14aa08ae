"""Parquet files in S3 as DataFrames, without Hadoop: Arrow batches in and out of executors, which read and write S3
themselves, by the same stores and with the same credentials as every step.

Executors call functions of this module by name, so they need the package `steps` and an environment with obstore and
pyarrow. A store is opened in the process that uses it.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.runtime.s3 import list_objects, open_store, s3_errors, send

if TYPE_CHECKING:
    from obstore.store import S3Store
    from pyspark.sql import DataFrame, SparkSession

# Footers that are read at a time, and rows of a batch.
_FOOTERS, _BATCH_ROWS = 32, 65_536
# Row groups that are smaller than this together, before compression, are read by the same task.
_TASK_BYTES = 32 << 20
# Rows of a written row group: the size of what another task, or a reader with little memory, reads at a time.
ROW_GROUP_ROWS = 100_000
_WRITTEN = "name string, row_count long, byte_count long, sha256 string"


@dataclass(frozen=True)
class RowGroup:
    """A row group of an object; `size` is that of the object, `bytes` that of the group before compression."""

    bucket: str
    key: str
    size: int
    number: int
    bytes: int


@dataclass(frozen=True)
class WrittenObject:
    """An object that `write_parquet` wrote: `name` without `.parquet`, its rows and bytes, and its hash."""

    name: str
    rows: int
    bytes: int
    sha256: str


class RangedObject(io.RawIOBase):
    """An object in S3 as a seekable file, which reads ranges. Raises StepError when S3 fails."""

    def __init__(self, uri: S3Uri, size: int) -> None:
        super().__init__()
        self._uri, self._size, self._place = uri, size, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the place of the next byte, as files do. Returns it."""
        self._place = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence] + offset
        return self._place

    def read(self, size: int | None = -1) -> bytes:
        """The next `size` bytes, or all that are left."""
        import obstore

        left = self._size - self._place
        length = left if size is None or size < 0 else min(size, left)
        if length <= 0:
            return b""
        store = opened_store(self._uri.bucket)
        with s3_errors(self._uri, "reading"):
            content = send(lambda: obstore.get_range(store, self._uri.key, start=self._place, length=length))
        self._place += length
        return bytes(content)

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` with the next bytes; their number."""
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


def read_parquet(spark: SparkSession, location: S3Uri, schema: pa.Schema) -> DataFrame:
    """The columns of `schema`, cast to its types, of all Parquet files below the prefix `location`.

    The driver reads the files' footers; each task then reads row groups. Raises StepError where there is no file, where
    one is no Parquet file, or where it does not have the columns.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    files = _files(location)
    with ThreadPoolExecutor(_FOOTERS) as threads:
        groups = [group for of_file in threads.map(partial(_row_groups, schema=schema), files) for group in of_file]
    tasks = list(_tasks(groups))
    # An element per partition, so that Spark deals out tasks, not rows.
    dealt = spark.sparkContext.parallelize(tasks, max(1, len(tasks)))
    table = spark.createDataFrame(
        dealt, "groups array<struct<bucket:string,key:string,size:long,number:int,bytes:long>>"
    )
    return table.mapInArrow(partial(_read, schema=schema), from_arrow_schema(schema))


def write_parquet(
    frame: DataFrame, folder: S3Uri, name: str, *, schema: pa.Schema, order: Sequence[str], partitions: int
) -> list[WrittenObject]:
    """Write one object `VALUE.parquet` below `folder` for each value of the column `name`, with the columns `schema`.

    The rows of an object are sorted by the columns `order`. With an order that leaves no two rows equal, its bytes
    depend on its rows alone. `partitions` tasks write, whole objects each. Returns the objects by name. Raises
    StepError for a value that is null or no name, and for rows that are not of the schema.
    """
    in_order = frame.repartition(partitions, name).sortWithinPartitions(name, *order)
    write = partial(_write, folder=folder, name=name, schema=schema)
    rows = in_order.mapInArrow(write, _WRITTEN).collect()
    objects = (WrittenObject(row.name, row.row_count, row.byte_count, row.sha256) for row in rows)
    return sorted(objects, key=lambda item: item.name)


def _files(location: S3Uri) -> list[tuple[S3Uri, int]]:
    """Parquet files below a prefix and their sizes. Names that begin with `_` or `.` are no data, as Hive and Spark
    have it; Athena writes files without a suffix."""
    prefix = S3Uri(location.bucket, f"{location.key.rstrip('/')}/")
    files = [(S3Uri(location.bucket, key), size) for key, size in list_objects(prefix) if size]
    names = [(uri, size, uri.key.rpartition("/")[2]) for uri, size in files]
    data = [
        (uri, size)
        for uri, size, name in names
        if not name.startswith(("_", ".")) and ("." not in name or name.endswith(".parquet"))
    ]
    if not data:
        raise StepError(f"{location}: no Parquet file there")
    return data


def _row_groups(file: tuple[S3Uri, int], schema: pa.Schema) -> list[RowGroup]:
    uri, size = file
    with _parquet_errors(uri):
        opened = pq.ParquetFile(pa.PythonFile(RangedObject(uri, size), mode="r"))
        columns = opened.schema_arrow.names
        metadata = opened.metadata
    absent = [name for name in schema.names if name not in columns]
    if absent:
        raise StepError(f"{uri}: no column {absent[0]}; it has {', '.join(columns)}")
    sizes = [metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups)]
    return [RowGroup(uri.bucket, uri.key, size, number, part) for number, part in enumerate(sizes)]


def _tasks(groups: Iterable[RowGroup]) -> Iterator[tuple[list[tuple[str, str, int, int, int]]]]:
    """Rows of the one column `groups`: neighbours that are large enough for a task together."""
    task: list[RowGroup] = []
    for group in groups:
        if task and sum(member.bytes for member in task) + group.bytes > _TASK_BYTES:
            yield (_row(task),)
            task = []
        task.append(group)
    if task:
        yield (_row(task),)


def _row(task: list[RowGroup]) -> list[tuple[str, str, int, int, int]]:
    return [(group.bucket, group.key, group.size, group.number, group.bytes) for group in task]


def _read(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """In an executor: the rows of the row groups that `batches` name."""
    for batch in batches:
        for groups in batch.column(0).to_pylist():
            for group in groups:
                uri = S3Uri(group["bucket"], group["key"])
                with _parquet_errors(uri):
                    file = pq.ParquetFile(pa.PythonFile(RangedObject(uri, group["size"]), mode="r"), pre_buffer=True)
                    for part in file.iter_batches(_BATCH_ROWS, row_groups=[group["number"]], columns=schema.names):
                        yield from pa.Table.from_batches([part]).select(schema.names).cast(schema).to_batches()


def _write(batches: Iterator[pa.RecordBatch], folder: S3Uri, name: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """In an executor: write the rows, which come sorted by the column `name`; a row per written object."""
    current: _Object | None = None
    for batch in batches:
        table = pa.Table.from_batches([batch])
        rows = _cast(table, schema)
        for value, start, length in _runs(table[name].combine_chunks()):
            if current is None or current.name != value:
                if current is not None:
                    yield current.finish()
                current = _Object(folder, value, schema)
            current.add(rows.slice(start, length))
    if current is not None:
        yield current.finish()


def _cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    try:
        return table.select(schema.names).cast(schema)
    except (pa.ArrowException, ValueError, KeyError) as error:
        raise StepError(f"rows that are not of the schema of their object: {error}") from error


def _runs(values: pa.Array) -> Iterator[tuple[str, int, int]]:
    """Value, first place and length of each run of equal values."""
    import pyarrow.compute as pc

    if values.null_count:
        raise StepError("a row has no name of an object to be written to")
    ends = pc.indices_nonzero(pc.not_equal(values.slice(1), values.slice(0, max(0, len(values) - 1)))).to_pylist()
    starts = [0, *(end + 1 for end in ends)] if len(values) else []
    for start, end in zip(starts, [*starts[1:], len(values)], strict=True):
        yield str(values[start].as_py()), start, end - start


class _Object:
    """An object that is being written: to a file, since a file can be sent again."""

    def __init__(self, folder: S3Uri, name: str, schema: pa.Schema) -> None:
        if not name or "/" in name:
            raise StepError(f"{name!r} is no name of an object below {folder}")
        self.name, self._uri = name, folder.join(f"{name}.parquet")
        # Closed by `finish`, or with this object where the task fails.
        self._file: IO[bytes] = tempfile.NamedTemporaryFile(prefix="parquet-", dir=spill_folder())  # noqa: SIM115
        self._writer = pq.ParquetWriter(self._file, schema, compression="snappy")
        self._waiting: list[pa.Table] = []
        self._rows, self._waiting_rows = 0, 0

    def add(self, rows: pa.Table) -> None:
        """Add rows. Row groups have the same sizes whatever the sizes of the batches."""
        self._waiting.append(rows)
        self._waiting_rows += rows.num_rows
        while self._waiting_rows >= ROW_GROUP_ROWS:
            self._write_group(ROW_GROUP_ROWS)

    def _write_group(self, rows: int) -> None:
        table = pa.concat_tables(self._waiting)
        self._writer.write_table(table.slice(0, rows).combine_chunks(), row_group_size=rows)
        self._waiting = [table.slice(rows)]
        self._waiting_rows -= rows
        self._rows += rows

    def finish(self) -> pa.RecordBatch:
        """Store the object. Returns it as a row."""
        import obstore

        with self._file:
            if self._waiting_rows:
                self._write_group(self._waiting_rows)
            self._writer.close()
            self._file.flush()
            path = Path(self._file.name)
            with path.open("rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
            store = opened_store(self._uri.bucket)
            with s3_errors(self._uri, "writing"):
                send(lambda: obstore.put(store, self._uri.key, path))
            row = [[self.name], [self._rows], [path.stat().st_size], [digest]]
        return pa.RecordBatch.from_arrays(
            [pa.array(value) for value in row], ["name", "row_count", "byte_count", "sha256"]
        )


def spill_folder() -> str | None:
    """The folder of an executor's spilled data, which is on the instance's large volume."""
    folders = os.environ.get("SPARK_LOCAL_DIRS") or os.environ.get("LOCAL_DIRS") or ""
    folder = folders.split(",")[0]
    if folder:
        os.makedirs(folder, exist_ok=True)
    return folder or None


@contextmanager
def _parquet_errors(uri: S3Uri) -> Iterator[None]:
    """Raise StepError with the object in place of Arrow's errors."""
    try:
        yield
    except (pa.ArrowException, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise StepError(f"{uri}: not a Parquet file with these columns: {reason}") from error


def opened_store(bucket: str) -> S3Store:
    """The store of a bucket, which is opened once per process."""
    return _store(os.getpid(), bucket)


@lru_cache(maxsize=16)
def _store(process: int, bucket: str) -> S3Store:
    """The store of this process: it is not fork-safe, and Python workers are forked."""
    del process
    return open_store(bucket)
