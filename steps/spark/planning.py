"""Plans by Spark, with the same rule and the same bytes as by DuckDB (steps.planning.local).

Each table of the rule is staged (steps.spark.staging): its numbers stay what they are whatever is lost. Spark may keep
what it reads again, which it can lose.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from steps.contracts.dataset import SPLITS
from steps.contracts.labels import SCHEMA
from steps.contracts.s3_uri import S3Uri
from steps.contracts.shard_plan import Bucket
from steps.planning.assigning import shuffle_key
from steps.planning.assignments import Lineage, Wave, parquet_file
from steps.planning.bucket_files import bucket_file, bucket_name
from steps.planning.dialect import Dialect
from steps.planning.engine import PlanSession
from steps.planning.local import ASSIGNED, by_bucket, write_wave
from steps.planning.settings import DatasetSettings
from steps.runtime.s3 import read_object, write_object
from steps.spark.components import connect
from steps.spark.dialect import SparkDialect
from steps.spark.s3 import read_parquet
from steps.spark.staging import StagedTable, Staging, copy_objects

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger(__name__)

# Tasks of a shuffle per core, of which Spark joins those with little to do.
_TASKS_PER_CORE = 2
_WRITTEN = "name string, photos long, sha256 string"
_BUCKETS = "buckets"


class SparkPlanning:
    """A session of the rule (steps.planning.engine.PlanSession) with tables in `staging`."""

    dialect: Dialect = SparkDialect()

    def __init__(self, spark: SparkSession, staging: Staging, *, seed: int) -> None:
        from pyspark.sql.functions import udf

        self._spark, self._staging = spark, staging
        self._tables: dict[str, tuple[StagedTable, DataFrame]] = {}
        spark.udf.register("shuffle_key", udf(partial(_signed_key, seed), "long", useArrow=True))

    def create(self, name: str, query: str) -> None:
        """See Session."""
        self._set(name, self._staging.write(self._spark.sql(query)))

    def insert(self, name: str, query: str, parts: list[str]) -> None:
        """See Session."""
        self.create(name, query.format(part=" UNION ALL ".join(parts)))

    def drop(self, *names: str) -> None:
        """See Session."""
        for name in names:
            staged, frame = self._tables.pop(name)
            self._spark.catalog.dropTempView(name)
            frame.unpersist()
            self._staging.remove(staged)

    def rows(self, query: str) -> pa.Table:
        """See Session."""
        from pyspark.sql.pandas.types import to_arrow_schema

        frame = self._spark.sql(query)
        return pa.Table.from_pylist([row.asDict() for row in frame.collect()], to_arrow_schema(frame.schema))

    def batches(self, query: str) -> Iterator[pa.RecordBatch]:
        """See Session. Through S3, since the driver may not hold them all."""
        staged = self._staging.write(self._spark.sql(query))
        yield from self._staging.batches(staged)
        self._staging.remove(staged)

    def register(self, name: str, table: pa.Table) -> None:
        """See Session."""
        self._set(name, self._staging.keep(table))

    def connect(self, name: str, edges: str) -> None:
        """See Session."""
        connect(self, name, edges)

    def read_labels(self, location: S3Uri) -> None:
        """The table `labels` of the Parquet files below a prefix. Raises StepError as read_parquet does."""
        # A null in a column that has none is the rule's to report.
        columns = pa.schema([field.with_nullable(True) for field in SCHEMA])
        labels = read_parquet(self._spark, location, columns)
        cores = self._spark.sparkContext.defaultParallelism
        tasks = max(_TASKS_PER_CORE * cores, labels.rdd.getNumPartitions())
        self._spark.conf.set("spark.sql.shuffle.partitions", str(tasks))
        labels.persist().createOrReplaceTempView("labels")

    def read_waves(self, waves: list[Wave]) -> None:
        """The table `assigned`, from the files of waves. Raises StepError for a damaged one."""
        from pyspark.sql.pandas.types import from_arrow_schema

        files = [(str(file), wave.number) for wave in waves for file in wave.files]
        if not files:
            self.register("assigned", ASSIGNED.empty_table())
            return
        dealt = self._spark.sparkContext.parallelize(files, len(files))
        listed = self._spark.createDataFrame(dealt, "file string, wave int")
        assigned = listed.mapInArrow(_assigned, from_arrow_schema(ASSIGNED))
        assigned.persist().createOrReplaceTempView("assigned")

    def write_wave(self, lineage: Lineage, number: int, query: str) -> bool:
        """See PlanSession."""
        return write_wave(lineage, number, self.batches(query))

    def write_buckets(self, query: str) -> list[Bucket]:
        """See PlanSession."""
        frame = self._spark.sql(query).repartition("wave", "number")
        frame = frame.sortWithinPartitions("wave", "number", "split", "key", "image_id")
        rows = frame.mapInArrow(partial(_write_buckets, folder=self._buckets), _WRITTEN).collect()
        buckets = [Bucket(name=row.name, photos=row.photos, sha256=row.sha256) for row in rows]
        return sorted(buckets, key=lambda bucket: bucket.name)

    def publish(self, buckets: list[Bucket], folder: S3Uri) -> None:
        """See PlanSession."""
        names = [f"{bucket.name}.parquet" for bucket in buckets]
        copy_objects((self._buckets.join(name), folder.join(name)) for name in names)

    @property
    def _buckets(self) -> S3Uri:
        return self._staging.folder.join(_BUCKETS)

    def _set(self, name: str, staged: StagedTable) -> None:
        if name in self._tables:
            self.drop(name)
        frame = self._staging.read(staged).persist()
        frame.createOrReplaceTempView(name)
        self._tables[name] = (staged, frame)
        log.debug("table %s", name)


@dataclass(frozen=True)
class SparkEngine:
    """A Spark session that plans the labels at `labels`, and stages below `folder` what it computes."""

    spark: SparkSession
    labels: S3Uri
    folder: S3Uri

    @contextmanager
    def session(
        self, settings: DatasetSettings, labels: Path, waves: list[Wave], given: pa.Table | None
    ) -> Iterator[PlanSession]:
        """See Engine. Executors read the labels in S3, so the folder `labels` may have a part of them."""
        del labels
        staging = Staging(self.spark, self.folder)
        try:
            session = SparkPlanning(self.spark, staging, seed=settings.seed)
            session.read_labels(self.labels)
            session.read_waves(waves)
            if given is not None:
                session.register("given", given)
            yield session
            self.spark.catalog.clearCache()
        finally:
            staging.remove_all()


def _signed_key(seed: int, name: str) -> int:
    """`shuffle_keys` of a name."""
    return shuffle_key(seed, name) - (1 << 63)


def _assigned(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """In an executor: the photos of files of waves."""
    for batch in batches:
        for row in batch.to_pylist():
            uri = S3Uri.parse(row["file"])
            for photos in parquet_file(uri, read_object(uri)).iter_batches(columns=["image_id", "split"]):
                table = pa.table(
                    {
                        "image_id": photos["image_id"],
                        "split": pc.index_in(photos["split"], value_set=pa.array(SPLITS, pa.string())),
                        "wave": pa.repeat(pa.scalar(row["wave"]), len(photos)),
                    }
                )
                yield from table.cast(ASSIGNED).to_batches()


def _write_buckets(batches: Iterator[pa.RecordBatch], folder: S3Uri) -> Iterator[pa.RecordBatch]:
    """In an executor: store the buckets of rows in their order. A task that runs again writes the same bytes."""
    for wave, number, rows in by_bucket(batches):
        bucket, content = bucket_file(bucket_name(wave, number), rows)
        write_object(folder.join(f"{bucket.name}.parquet"), content)
        row = [pa.array([bucket.name]), pa.array([bucket.photos], pa.int64()), pa.array([bucket.sha256])]
        yield pa.RecordBatch.from_arrays(row, ["name", "photos", "sha256"])
