"""Spark on the instances of the job. What it reads is read from S3 once, and is on the disks of the executors after."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

from steps.contracts import consolidated, labels
from steps.contracts.s3_uri import S3Uri
from steps.runtime import container
from steps.spark import cluster
from steps.spark.cluster import Cluster
from steps.spark.s3 import read_parquet

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Result = TypeVar("Result")

_SCHEMAS = {"metadata": consolidated.SCHEMA, "labels": labels.SCHEMA}


class Spark:
    """A session of Spark as an engine of the exploration."""

    def __init__(self, session: SparkSession) -> None:
        self._session = session

    def table(self, name: str, location: str) -> None:
        """Make the Parquet files below an `s3://` prefix the table `name`, with the columns of its contract."""
        from pyspark import StorageLevel

        frame = read_parquet(self._session, S3Uri.parse(location), _SCHEMAS[name])
        frame.persist(StorageLevel.DISK_ONLY).createOrReplaceTempView(name)

    def sql(self, text: str) -> pa.Table:
        """The rows of a SELECT, which are few."""
        from pyspark.sql.pandas.types import to_arrow_schema

        frame = self._session.sql(text)
        rows = [row.asDict(recursive=True) for row in frame.collect()]
        return pa.Table.from_pylist(rows, to_arrow_schema(frame.schema))


def run(output: S3Uri, work: Callable[[Spark], Result]) -> Result | None:
    """What `work` returns for Spark on the first instance; None on each of the others, when it is done.

    The instances meet next to the output `output`. Raises StepError where a part of the cluster fails.
    """
    meeting = S3Uri(output.bucket, output.key.rpartition("/")[0]).join("jobs")
    # On the job's volume, as the inputs are: the disk of the container itself may be small.
    scratch: Path = container.base() / "processing" / "spark"
    return cluster.run(Cluster.of_job(meeting, scratch), lambda session: work(Spark(session)))
