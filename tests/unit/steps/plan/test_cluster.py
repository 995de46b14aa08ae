"""Spark for a plan: where the instances of a job meet, and what an image without Spark says."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.plan import cluster as step
from steps.plan.cluster import plan_with_spark
from steps.spark.cluster import Cluster
from tests.unit.steps.plan.conftest import Job


def test_an_image_without_spark_says_what_to_set(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job.start()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StepError, match=r"^this image has no Spark, .*; set shard\.planner: local, or build"):
        plan_with_spark(lambda engine: pytest.fail("nothing plans"))


def test_the_instances_of_a_job_meet_next_to_its_summary_and_read_the_labels_in_s3(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined: list[Cluster] = []
    engines: list[Any] = []

    def run(cluster: Cluster, work: Callable[[Any], Any]) -> None:
        joined.append(cluster)
        work("a session")

    base = job.start(1, 3)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(step.cluster, "run", run)
    plan_with_spark(engines.append)  # type: ignore[func-returns-value,arg-type,return-value]
    (cluster,), (engine,) = joined, engines
    assert (engine.spark, str(engine.labels)) == ("a session", job.labels)
    assert engine.folder == S3Uri(job.bucket, "out/jobs/job/tables")
    assert (cluster.instance.index, cluster.instance.count) == (1, 3)
    assert cluster.folder == S3Uri(job.bucket, "out/jobs/job")
    assert cluster.scratch.is_relative_to(base)
    assert not cluster.scratch.exists()
