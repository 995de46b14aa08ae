"""The plan step: the engine that is taken, and what is handed on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from steps.contracts.hand_over import HandOver
from steps.contracts.labels import read_labels
from steps.contracts.s3_uri import S3Uri
from steps.contracts.shard_plan import ShardPlan, Uneven, parse_plan, read_plan
from steps.plan import engines
from steps.plan import run as step
from steps.plan.settings import Settings
from steps.planning.engine import Engine
from steps.planning.local import LocalEngine
from steps.planning.run import Places, StoredPlan
from steps.planning.settings import DatasetSettings
from steps.runtime.arguments import parse
from steps.runtime.container import Instance, instance
from steps.runtime.s3 import read_object
from tests.unit.steps.arguments import PLAN, flags_of
from tests.unit.steps.plan.conftest import Job

OVERLAP = {"photos": 2, "same_bin": 0, "same_item": 1}
PLANNED: dict[str, Any] = {
    "dataset": "0123456789abcdef",
    "sharding": {
        "image_size": 256,
        "quality": 90,
        "split": "grouped",
        "seed": 1,
        "fractions": {"train": 0.8, "validation": 0.1, "test": 0.1},
    },
    "labelled": 5,
    "left_out": {"set aside": 1},
    "left_out_sha256": "0" * 64,
    "later": 0,
    "class_counts": {"train": {1: 2}, "validation": {1: 1}, "test": {1: 1}},
    "leakage": {"split": OVERLAP, "random": OVERLAP},
    "largest_group": 3,
    "uneven": [Uneven(quantity=1, split="train", share=0.5, wanted=0.8)],
    "assignments": "s3://bucket/assignments/x",
    "buckets": [{"name": "000001-00000", "photos": 4, "sha256": "1" * 64}],
}


class Planner:
    """Stands in for the library that plans: records what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[DatasetSettings, list[str], Places, Engine | None]] = []

    def __call__(
        self, settings: DatasetSettings, labels: Path, places: Places, engine: Engine | None = None
    ) -> StoredPlan:
        """A plan, whatever the labels."""
        ids = read_labels(labels)["image_id"].to_pylist()
        self.asked.append((settings, ids, places, engine))
        plan = ShardPlan.model_validate({**PLANNED, "left_out": {"set aside": 1}})
        return StoredPlan(places.plans.join(plan.key, "description"), plan)


class Cluster:
    """Stands in for Spark's cluster: records the instances that joined it."""

    def __init__(self) -> None:
        self.joined: list[Instance] = []
        self.engine: Any = object()

    def __call__(self, work: Callable[[Engine], StoredPlan]) -> StoredPlan | None:
        """The plan on the first instance alone."""
        self.joined.append(instance())
        return work(self.engine) if instance().index == 0 else None


@pytest.fixture
def planner(monkeypatch: pytest.MonkeyPatch) -> Planner:
    planner = Planner()
    monkeypatch.setattr(step, "make_plan", planner)
    return planner


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def settings(planner: str = "auto") -> Settings:
    return parse(Settings, flags_of({**PLAN, "planner": planner}))


def test_the_plan_is_handed_on_and_described(job: Job, planner: Planner, cluster: Cluster) -> None:
    job.add("part.parquet", ["a", "b"])
    base = job.start()
    step.run(settings(), cluster)
    ((asked, ids, places, engine),) = planner.asked
    assert (asked, ids, engine, cluster.joined) == (settings(), ["a", "b"], LocalEngine(), [])
    assert places == Places(S3Uri(job.bucket, "out/assignments"), S3Uri(job.bucket, "out/plans"))
    summary = base / "processing/output/summary"
    plan = read_plan(summary)
    handed_on = HandOver.model_validate_json((summary / "hand_over.json").read_bytes())
    assert handed_on.uri == f"s3://{job.bucket}/out/plans/{plan.key}/description"
    assert plan == ShardPlan.model_validate(PLANNED)


def test_below_the_crossover_the_first_of_several_instances_plans_all_labels(
    job: Job, planner: Planner, cluster: Cluster
) -> None:
    job.add("part-0.parquet", ["a", "b"])
    job.add("part-1.parquet", ["c"])
    for number in (0, 1):
        base = job.start(number, 2)
        step.run(settings(), cluster)
        assert (base / "processing/output/summary/hand_over.json").exists() == (number == 0)
    assert [ids for _, ids, _, _ in planner.asked] == [["a", "b", "c"]]
    assert cluster.joined == []


@pytest.mark.parametrize("asked", ["auto", "spark"])
def test_with_spark_every_instance_joins_and_the_first_plans(
    job: Job, planner: Planner, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    monkeypatch.setattr(engines, "SPARK_PHOTOS", 3)
    job.add("part-0.parquet", ["a", "b"])
    job.add("part-1.parquet", ["c"])
    for number in (0, 1):
        base = job.start(number, 2)
        step.run(settings(asked), cluster)
        assert (base / "processing/output/summary/plan.json").exists() == (number == 0)
    assert [(member.index, member.count) for member in cluster.joined] == [(0, 2), (1, 2)]
    assert [engine for _, _, _, engine in planner.asked] == [cluster.engine]


def test_the_log_has_the_engine_with_its_reason_and_what_is_handed_on(
    job: Job, planner: Planner, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    job.add("part.parquet", ["a"])
    job.start()
    with caplog.at_level(logging.INFO):
        step.run(settings(), cluster)
    assert planner.asked
    first, done = [entry.getMessage() for entry in caplog.records if entry.name == step.__name__]
    assert first == "planning with DuckDB, since the job has one instance"
    assert done.startswith(f"handed on: s3://{job.bucket}/out/plans/")
    assert done.endswith("/description; left out: 1 set aside; largest group: 3 photos")


def test_a_plan_of_the_library_is_stored_where_it_is_handed_on(job: Job, cluster: Cluster) -> None:
    ids = [f"{number:03d}" for number in range(40)]
    job.add("part-0.parquet", ids[:30])
    job.add("part-1.parquet", ids[30:])
    base = job.start(0, 2)
    given = {**PLAN, "split": "random", "validation_fraction": 0.2, "test_fraction": 0.2}
    step.run(parse(Settings, flags_of(given)), cluster)
    summary = base / "processing/output/summary"
    handed_on = HandOver.model_validate_json((summary / "hand_over.json").read_bytes())
    stored = read_object(S3Uri.parse(handed_on.uri).join("plan.json"))
    plan = read_plan(summary)
    assert parse_plan(stored, "plan") == plan
    assert (plan.labelled, plan.photos, handed_on.uri.split("/")[-2]) == (40, 40, plan.key)
    assert sum(plan.class_counts["train"].values()) == 24
