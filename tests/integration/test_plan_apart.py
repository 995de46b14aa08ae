"""A plan that is made apart from the shards, and an exploration: the same data set as where ShardImages plans."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.local.machine import interpreters
from pipeline.local.machine.interpreters import SET_UP
from pipeline.operations.account import local as account
from pipeline.operations.dataset import description as dataset
from pipeline.operations.dataset import exploration
from pipeline.operations.models import pages
from pipeline.operations.runs import executions, progress
from pipeline.operations.runs.progress import StepRun
from pipeline.operations.upsert import upsert
from pipeline.settings import Settings
from tests.integration.test_unchanged_photos import Team, photos_of, team

__all__ = ["team"]


def changed(team: Team, **groups: dict[str, Any]) -> Team:
    """The same pipeline with other values in some groups."""
    values = team.settings.model_dump()
    for group, changes in groups.items():
        values[group] = {**values[group], **changes}
    settings = Settings.model_validate(values)
    account.prepare(settings)  # publishes the images of its steps
    upsert(settings)
    return Team(settings, team.cloud)


def until_it_trains(team: Team, *others: str) -> tuple[str, dict[str, StepRun]]:
    """A run until its training begins and the steps `others` have ended; then it is stopped."""
    execution = executions.start(team.settings, {"DataVersion": "1"})
    for last in progress.follow(team.settings, execution.arn, interval=0.2):
        steps = {step.name: step for step in last.steps}
        assert last.execution.status == "Executing", last.execution.failure
        if steps["TuneModel"].arn("TuningJob") and all(steps[name].ended for name in others):
            break
    executions.stop(team.settings, execution.id)
    *_, last = progress.follow(team.settings, execution.arn, interval=0.3)
    return execution.id, {step.name: step for step in last.steps}


def test_a_plan_that_is_made_apart_gives_the_same_data_set_and_no_new_shard(team: Team) -> None:
    team.put(photos_of(None)[:60])
    first, steps = until_it_trains(team)
    assert steps["ShardImages"].status == "Succeeded"
    before = dataset.find(team.settings, first)
    shards = team.shards()
    assert shards

    apart = changed(team, shard={"planner": "local", "instance_count": 3}, explore={"enabled": True})
    second, steps = until_it_trains(apart, "ExploreData")
    assert {name: steps[name].status for name in ("PlanShards", "ShardImages", "ExploreData")} == {
        "PlanShards": "Succeeded",
        "ShardImages": "Succeeded",
        "ExploreData": "Succeeded",
    }
    assert not steps["ShardImages"].cached
    after = dataset.find(apart.settings, second)
    assert (after.uri, after.index) == (before.uri, before.index)
    assert apart.shards() == shards

    # The plan is shown with the data, and every photo of it is in the data set.
    data = exploration.read(
        apart.settings, progress.read(apart.settings, executions.resolve(apart.settings, second).arn)
    )
    assert data.problems == ()
    assert data.plan is not None
    assert data.plan.photos == sum(split.samples for split in after.index.splits.values())
    assert data.has_exploration
    page = pages.exploration(apart.settings, second)
    assert page.content.lstrip().lower().startswith(b"<!doctype html>")

    # Once more: the plan comes from the cache, and with it the shards.
    _, steps = until_it_trains(apart)
    assert [steps[name].cached for name in ("PlanShards", "ShardImages", "ExploreData")] == [True, True, True]


@pytest.mark.skipif(not (interpreters.SPARK / ".installed").exists(), reason=f"without Spark; run: {SET_UP}")
def test_spark_on_two_instances_makes_the_same_plan(team: Team) -> None:
    team.put(photos_of(None)[:60])
    first, _ = until_it_trains(team)
    before, shards = dataset.find(team.settings, first), team.shards()

    several = {"planner": "spark", "plan_instance_type": "ml.m5.large", "plan_instance_count": 2}
    spark = changed(team, shard=several)
    second, steps = until_it_trains(spark)
    assert (steps["PlanShards"].status, steps["PlanShards"].cached) == ("Succeeded", False)
    after = dataset.find(spark.settings, second)
    assert (after.uri, after.plan) == (before.uri, before.plan)
    assert spark.shards() == shards
    # Tables of the plan are gone with it.
    prefix = f"{spark.settings.data.prefix}/runs/{second}/plan/"
    listed = spark.cloud.client("s3").list_objects_v2(Bucket=spark.settings.data.bucket, Prefix=prefix)
    assert not [entry["Key"] for entry in listed["Contents"] if "/tables/" in entry["Key"]]
