"""Tables that are computed once: staged as Parquet in S3, so that what an executor that is lost had computed is not
computed again with other numbers.

A task writes an object of a name of its own and reports it. Only reported objects are read, so a task that runs twice,
or counts as lost and writes later, adds no row.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.runtime.s3 import client, list_objects, s3_errors, send
from steps.spark.s3 import RangedObject, opened_store, spill_folder

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# Rows of a batch, and of a row group, which a reader holds in memory.
_BATCH_ROWS, _GROUP_ROWS = 20_000, 100_000
_OBJECT = "place int, key string, size long"
# Objects that are deleted by a request, at most:
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
_DELETED = 1_000
_AT_ONCE = 16


@dataclass(frozen=True)
class StagedTable:
    """Objects (key, bytes) with the rows of a table in their order, and the table's columns."""

    columns: pa.Schema
    objects: list[tuple[str, int]]


@dataclass(frozen=True)
class Staging:
    """Tables of a Spark session below `folder`, which no other one uses."""

    spark: SparkSession
    folder: S3Uri

    def write(self, frame: DataFrame) -> StagedTable:
        """Compute a table and store its rows; those of a sorted one keep their order."""
        from pyspark.sql.pandas.types import to_arrow_schema

        rows = frame.mapInArrow(partial(_write, folder=self.folder), _OBJECT).collect()
        objects = [(row.key, row.size) for row in sorted(rows, key=lambda row: row.place)]
        return StagedTable(to_arrow_schema(frame.schema), objects)

    def keep(self, table: pa.Table) -> StagedTable:
        """Store a table of the driver, in objects that are shared out among tasks."""
        step = max(_GROUP_ROWS, -(-len(table) // (2 * self.spark.sparkContext.defaultParallelism)))
        written = [
            row
            for start in range(0, len(table), step)
            for batch in _write(iter(table.slice(start, step).to_batches()), self.folder)
            for row in batch.to_pylist()
        ]
        return StagedTable(table.schema, [(row["key"], row["size"]) for row in written])

    def read(self, table: StagedTable) -> DataFrame:
        """The rows of a table: a task per object."""
        from pyspark.sql.pandas.types import from_arrow_schema

        columns = from_arrow_schema(table.columns)
        if not table.objects:
            return self.spark.createDataFrame([], columns)
        # An element per partition, so that Spark deals out tasks, not rows.
        dealt = self.spark.sparkContext.parallelize(table.objects, len(table.objects))
        frame = self.spark.createDataFrame(dealt, "key string, size long")
        return frame.mapInArrow(partial(_read, bucket=self.folder.bucket, columns=table.columns), columns)

    def batches(self, table: StagedTable) -> Iterator[pa.RecordBatch]:
        """The rows of a table in their order, on the driver."""
        for key, size in table.objects:
            yield from _opened(S3Uri(self.folder.bucket, key), size, table.columns)

    def remove(self, table: StagedTable) -> None:
        """Delete the objects of a table."""
        _delete(self.folder.bucket, [key for key, _ in table.objects])

    def remove_all(self) -> None:
        """Delete all objects, those of lost tasks, too."""
        prefix = S3Uri(self.folder.bucket, f"{self.folder.key}/")
        _delete(self.folder.bucket, [key for key, _ in list_objects(prefix)])


def copy_objects(pairs: Iterable[tuple[S3Uri, S3Uri]]) -> None:
    """Copy objects within a bucket, in S3. Raises StepError when S3 fails."""
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="copy") as threads:
        for _ in threads.map(_copy, pairs):
            pass


def _copy(pair: tuple[S3Uri, S3Uri]) -> None:
    import obstore

    source, target = pair
    store = opened_store(source.bucket)
    with s3_errors(target, "writing"):
        send(lambda: obstore.copy(store, source.key, target.key))


def _delete(bucket: str, keys: list[str]) -> None:
    s3 = client()
    for start in range(0, len(keys), _DELETED):
        listed = [{"Key": key} for key in keys[start : start + _DELETED]]
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": listed, "Quiet": True})
        for error in answer.get("Errors", []):
            raise StepError(
                f"{S3Uri(bucket, error['Key'])}: deleting it failed: {error['Code']}: {error['Message']}; allow the"
                " job's role s3:DeleteObject there"
            )


def _write(batches: Iterator[pa.RecordBatch], folder: S3Uri) -> Iterator[pa.RecordBatch]:
    """In an executor: store the rows of a task, and report the object."""
    file: IO[bytes] = tempfile.NamedTemporaryFile(prefix="staged-", dir=spill_folder())  # noqa: SIM115
    with file:
        writer: pq.ParquetWriter | None = None
        waiting: list[pa.RecordBatch] = []
        rows = 0
        for batch in batches:
            waiting.append(batch)
            rows += len(batch)
            if rows < _GROUP_ROWS:
                continue
            writer = _add(writer, file, waiting)
            waiting, rows = [], 0
        if rows:
            writer = _add(writer, file, waiting)
        if writer is None:
            return
        writer.close()
        file.flush()
        place = _place()
        uri = folder.join(f"{place:06d}-{uuid.uuid4().hex}.parquet")
        _upload(Path(file.name), uri)
        row = [[place], [uri.key], [Path(file.name).stat().st_size]]
    kinds = (pa.int32(), pa.string(), pa.int64())
    arrays = [pa.array(value, kind) for value, kind in zip(row, kinds, strict=True)]
    yield pa.RecordBatch.from_arrays(arrays, ["place", "key", "size"])


def _add(writer: pq.ParquetWriter | None, file: IO[bytes], waiting: list[pa.RecordBatch]) -> pq.ParquetWriter:
    table = pa.Table.from_batches(waiting)
    writer = writer or pq.ParquetWriter(file, table.schema, compression="snappy")
    writer.write_table(table, row_group_size=len(table))
    return writer


def _place() -> int:
    """The number of this task's partition; 0 on the driver."""
    from pyspark import TaskContext

    context = TaskContext.get()
    return 0 if context is None else int(context.partitionId())


def _upload(path: Path, uri: S3Uri) -> None:
    import obstore

    store = opened_store(uri.bucket)
    with s3_errors(uri, "writing"):
        send(lambda: obstore.put(store, uri.key, path))


def _read(batches: Iterator[pa.RecordBatch], bucket: str, columns: pa.Schema) -> Iterator[pa.RecordBatch]:
    """In an executor: the rows of objects."""
    for batch in batches:
        for row in batch.to_pylist():
            yield from _opened(S3Uri(bucket, row["key"]), row["size"], columns)


def _opened(uri: S3Uri, size: int, columns: pa.Schema) -> Iterator[pa.RecordBatch]:
    file = pq.ParquetFile(pa.PythonFile(RangedObject(uri, size), mode="r"), pre_buffer=True)
    for batch in file.iter_batches(_BATCH_ROWS):
        yield from pa.Table.from_batches([batch]).cast(columns).to_batches()
