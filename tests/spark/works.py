"""What drivers do in these tests. They use the packages of the image alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, functions

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.explore import tables
from steps.explore.engines import Choice
from steps.explore.findings import collect
from steps.explore.spark import Spark
from steps.planning.run import Places, make_plan
from steps.spark import planning
from steps.spark.planning import SparkPlanning
from steps.spark.s3 import read_parquet, write_parquet
from steps.spark.staging import Staging
from tests.unit.steps.planning.cases import settings

SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("quantity", pa.int32(), nullable=False),
        pa.field("asins", pa.list_(pa.string())),
    ]
)
BUCKETS = 7


def copy(spark: SparkSession, options: dict[str, Any]) -> Any:
    """Write the labels to buckets by a hash of their ids."""
    return _write(_bucketed(spark, options), options)


def copy_and_lose_an_executor(spark: SparkSession, options: dict[str, Any]) -> Any:
    """As `copy`, where a task of the second stage ends its own executor, once."""
    bucketed = _bucketed(spark, options).repartition(8, "bucket")
    end = partial(_end_executor_once, marker=options["marker"])
    result = _write(bucketed.mapInArrow(end, bucketed.schema), options)
    executors = spark.sparkContext._jsc.sc().statusTracker().getExecutorInfos()
    return {"objects": result, "addresses": sorted({info.host() for info in executors})}


def explore(spark: SparkSession, options: dict[str, Any]) -> Any:
    """Explore the metadata and the labels."""
    engine = Spark(spark)
    tables.add(engine, {name: f"s3://{options['bucket']}/{name}" for name in ("metadata", "labels")})
    findings = collect(engine, Choice("spark", "of the test"), 5)
    rows = {name: table.to_pylist() for name, table in findings.tables.items()}
    return {"whole": findings.whole.model_dump(mode="json"), "tables": rows}


def observe(spark: SparkSession, options: dict[str, Any]) -> Any:
    """Where executors run, after which the observer may look at the processes: until `seen` exists."""
    Path(options["ready"]).touch()
    return (
        spark.range(8, numPartitions=8).mapInArrow(partial(_await_observer, seen=options["seen"]), "pid long").count()
    )


def wait(spark: SparkSession, options: dict[str, Any]) -> Any:
    """Work without end."""
    Path(options["ready"]).touch()
    return spark.range(1, numPartitions=1).mapInArrow(partial(_await_observer, seen="/nonexistent"), "pid long").count()


def fail(spark: SparkSession, options: dict[str, Any]) -> Any:
    """Fail on the driver, while executors run."""
    raise StepError("labels: no photo is left; look at the labels")


def read_what_was_removed(spark: SparkSession, options: dict[str, Any]) -> Any:
    """Fail in an executor: the object is removed after its footer was read."""
    import boto3

    frame = read_parquet(spark, _labels(options), SCHEMA)
    boto3.resource("s3").Bucket(options["bucket"]).objects.filter(Prefix="labels/").delete()
    return frame.count()


def ask_for_an_unknown_column(spark: SparkSession, options: dict[str, Any]) -> Any:
    """A mistake of the program, which is no StepError."""
    return spark.range(1).select("absent").count()


def lose_the_worker(spark: SparkSession, options: dict[str, Any]) -> Any:
    """End the worker whose scratch folder is that of an instance, then wait for executors."""
    folder = f"{options['victim']}/spark/work"
    workers = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and _is_worker(path, folder)]
    assert len(workers) == 1, workers
    os.kill(workers[0], signal.SIGKILL)
    return wait(spark, options)


def _labels(options: dict[str, Any]) -> S3Uri:
    return S3Uri(options["bucket"], "labels")


def _bucketed(spark: SparkSession, options: dict[str, Any]) -> DataFrame:
    number = functions.pmod(functions.crc32(functions.col("image_id").cast("binary")), functions.lit(BUCKETS)).cast(
        "string"
    )
    return read_parquet(spark, _labels(options), SCHEMA).withColumn(
        "bucket", functions.concat(functions.lit("bucket-"), number)
    )


def _write(frame: DataFrame, options: dict[str, Any]) -> Any:
    folder = S3Uri(options["bucket"], options["target"])
    written = write_parquet(frame, folder, "bucket", schema=SCHEMA, order=["image_id"], partitions=4)
    return [[item.name, item.rows, item.bytes, item.sha256] for item in written]


def _end_executor_once(batches: Iterator[pa.RecordBatch], marker: str) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        try:
            descriptor = os.open(marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            yield batch
            continue
        # A Python worker is the child of a daemon, which is the child of the executor.
        daemon = Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()
        executor = int(daemon[1])
        os.write(descriptor, str(executor).encode())
        os.close(descriptor)
        os.kill(executor, signal.SIGKILL)
        signal.pause()


def _await_observer(batches: Iterator[pa.RecordBatch], seen: str) -> Iterator[pa.RecordBatch]:
    import time

    while not Path(seen).exists():
        time.sleep(0.1)
    for batch in batches:
        yield pa.RecordBatch.from_arrays([batch.column(0)], ["pid"])


def _is_worker(process: Path, folder: str) -> bool:
    try:
        words = (process / "cmdline").read_bytes().decode().split("\0")
    except OSError:
        return False
    return "org.apache.spark.deploy.worker.Worker" in words and folder in words


def plan_and_lose_executors(spark: SparkSession, options: dict[str, Any]) -> Any:
    """Plan, where a task that numbers the sets and one that connects them each end their executor, once."""
    planning.SparkPlanning = partial(_LosingPlanning, marker=options["marker"])
    engine = planning.SparkEngine(spark, _labels(options), S3Uri(options["bucket"], "jobs/job/tables"))
    places = Places(*(S3Uri(options["bucket"], f"out/{name}") for name in ("assignments", "plans")))
    return {"key": make_plan(settings(), Path("elsewhere"), places, engine).plan.key}


class _LosingPlanning(SparkPlanning):
    """Its tables `sets` and `star` are computed while an executor is lost."""

    def __init__(self, spark: SparkSession, staging: Staging, *, seed: int, marker: str) -> None:
        super().__init__(spark, staging, seed=seed)
        self._marker = marker

    def create(self, name: str, query: str) -> None:
        """As SparkPlanning."""
        if name not in ("sets", "star"):
            super().create(name, query)
            return
        frame = self._spark.sql(query)
        end = partial(_end_executor_once, marker=f"{self._marker}-{name}")
        self._set(name, self._staging.write(frame.mapInArrow(end, frame.schema)))
