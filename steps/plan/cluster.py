"""Spark on the instances of the job, for a plan."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.planning.engine import Engine
from steps.planning.run import StoredPlan
from steps.runtime import container
from steps.spark import cluster
from steps.spark.cluster import Cluster

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def plan_with_spark(work: Callable[[Engine], StoredPlan]) -> StoredPlan | None:
    """What `work` returns for an engine of Spark on the first instance; None on each of the others, when it is done.

    Raises StepError in an image without Spark, and where a part of the cluster fails.
    """
    if importlib.util.find_spec("pyspark") is None:
        raise StepError(
            "this image has no Spark, which --planner spark starts; set shard.planner: local, or build the image again:"
            " python -m pipeline images push plan"
        )
    from steps.spark.planning import SparkEngine

    # Next to the summary, where instances of a job meet and which readers of the summary do not load.
    summary = S3Uri.parse(container.processing_output_uri("summary"))
    jobs = S3Uri(summary.bucket, summary.key.rpartition("/")[0]).join("jobs")
    # On the job's volume, as the inputs are: the disk of the container itself may be small.
    joined = Cluster.of_job(jobs, container.base() / "processing" / "spark")
    labels = S3Uri.parse(container.processing_input_uri("labels"))

    def plan(session: SparkSession) -> StoredPlan:
        return work(SparkEngine(session, labels, joined.folder.join("tables")))

    return cluster.run(joined, plan)
