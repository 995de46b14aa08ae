"""Quotas of the chosen instance types."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline import ROOT
from pipeline.aws.quotas import default
from pipeline.operations.preflight.quotas import Need, Quota, compare, needs
from pipeline.settings import Settings
from pipeline.settings.file import load_settings
from tests.answers import Answers
from tests.unit.pipeline.operations.preflight.conftest import Look, changed

APPLIED, DEFAULTS = "service-quotas.ListServiceQuotas", "service-quotas.ListAWSDefaultServiceQuotas"
SPOT = "ml.g5.2xlarge for spot training job usage"


def wanted(settings: Settings) -> dict[str, tuple[int, int]]:
    return {need.quota: (need.least, need.wanted) for need in needs(settings)}


def quotas(*values: tuple[str, float]) -> dict[str, Any]:
    listed = [
        {"QuotaName": name, "QuotaCode": f"L-{number}", "Value": value} for number, (name, value) in enumerate(values)
    ]
    return {"Quotas": listed}


def test_trials_at_the_same_time_want_their_instances_together(settings: Settings) -> None:
    chosen = changed(changed(settings, "training", instance_count=2), "tuning", parallel=3)
    assert wanted(chosen)[SPOT] == (6, 6)


def test_without_spot_it_is_another_quota(settings: Settings) -> None:
    assert "ml.g5.2xlarge for training job usage" in wanted(changed(settings, "training", spot=False))


def test_steps_come_one_after_the_other_so_the_largest_counts(settings: Settings) -> None:
    chosen = changed(settings, "shard", instance_type=settings.data.instance_type, instance_count=7)
    assert wanted(chosen)[f"{settings.data.instance_type} for processing job usage"] == (7, 7)


def processing_needs(settings: Settings) -> dict[str, tuple[int, int, str]]:
    """By instance type: the least, the wanted, and the reason."""
    suffix = " for processing job usage"
    return {
        need.quota.removesuffix(suffix): (need.least, need.wanted, need.reason)
        for need in needs(settings)
        if need.quota.endswith(suffix)
    }


def test_a_plan_that_is_made_apart_wants_its_instances(settings: Settings) -> None:
    before = processing_needs(settings)
    spark = {"planner": "spark", "plan_instance_type": "ml.m5.12xlarge", "plan_instance_count": 6}
    after = processing_needs(changed(settings, "shard", **spark))
    assert after == {**before, "ml.m5.12xlarge": (6, 6, "shard.plan_instance_type")}
    # Of the shards' type: the larger of both, since one comes after the other.
    shared = processing_needs(changed(settings, "shard", planner="spark", plan_instance_count=6))
    assert shared[settings.shard.instance_type] == (6, 6, "shard.instance_type")


def test_an_exploration_wants_its_instances_at_the_same_time_as_other_steps(settings: Settings) -> None:
    own = changed(settings, "explore", enabled=True, instance_type="ml.m5.12xlarge", instance_count=3)
    assert processing_needs(own)["ml.m5.12xlarge"] == (3, 3, "explore.instance_type")
    same = changed(
        changed(settings, "shard", instance_count=5),
        "explore",
        enabled=True,
        instance_type=settings.shard.instance_type,
        instance_count=2,
    )
    reason = "shard.instance_type, and 2 of ExploreData at the same time"
    assert processing_needs(same)[settings.shard.instance_type] == (5, 7, reason)


def test_a_version_that_replaces_another_wants_its_instances_beside_them(settings: Settings) -> None:
    chosen = changed(settings, "endpoint", instance_count=2, maximum_instance_count=5)
    assert wanted(chosen)["ml.c5.xlarge for endpoint usage"] == (2, 10)


def test_a_serverless_endpoint_wants_no_instances(settings: Settings) -> None:
    assert not [name for name in wanted(changed(settings, "endpoint", mode="serverless")) if "endpoint usage" in name]


NEED = Need(SPOT, least=2, wanted=4, reason="because", remedy="set less")


def test_a_quota_that_is_too_small_says_where_to_ask_for_more_and_what_else_to_set() -> None:
    found = compare(NEED, Quota("L-1234", 1.0), "eu-west-1")
    assert (found.status, found.detail) == (
        "failed",
        f"{SPOT} is 1, 4 needed (because); request more at https://eu-west-1.console.aws.amazon.com/servicequotas/home/"
        "services/sagemaker/quotas/L-1234, or set less",
    )


def test_a_quota_that_is_enough_to_begin_with_is_a_warning() -> None:
    assert compare(NEED, Quota("L-1", 3.0), "eu-west-1").status == "warning"
    assert compare(NEED, Quota("L-1", 4.0), "eu-west-1").status == "ok"


def test_a_quota_that_the_region_does_not_list_is_a_warning(look: Look, answers: Answers) -> None:
    answers.say(APPLIED, quotas())
    answers.say(DEFAULTS, quotas())
    found = look("quotas")
    assert {status for status, _ in found} == {"warning"}
    assert all("us-east-1 lists no such quota" in detail for _, detail in found)


def test_a_quota_that_was_never_raised_has_awss_default(look: Look, answers: Answers, settings: Settings) -> None:
    names = [need.quota for need in needs(settings)]
    answers.say(APPLIED, quotas(*[(name, 100) for name in names if name != SPOT]))
    answers.say(DEFAULTS, quotas((SPOT, 0), (names[0], 0)))
    found = dict.fromkeys(look("quotas"))
    [failure] = [detail for status, detail in found if status == "failed"]
    assert failure.startswith(f"{SPOT} is 0, 2 needed (training.instance_count 1 x tuning.parallel 2)")


def test_who_may_not_list_quotas_is_told_the_action(look: Look, answers: Answers) -> None:
    message = "User: x is not authorized to perform: servicequotas:ListServiceQuotas because"
    answers.error(APPLIED, "AccessDeniedException", message)
    assert look("quotas") == [("not checked", "these credentials may not servicequotas:ListServiceQuotas")]


def test_the_local_cloud_has_those_of_the_settings_or_the_defaults(look: Look, settings: Settings) -> None:
    here = changed(settings, "account", target="local")
    spot = f"{settings.training.instance_type} for spot training job usage"
    count = settings.training.instance_count * settings.tuning.parallel
    (line,) = [line for status, line in look("quotas", here) if status == "failed" and line.startswith(spot)]
    assert line.startswith(f"{spot} is 0, {count} needed")
    assert "raise it in local.quotas, or" in line
    raised = changed(here, "local", quotas={spot: count})
    assert ("ok", f"{spot}: {count}, {count} needed") in look("quotas", raised)


def test_more_parallel_trials_than_the_default_limit_are_a_warning(
    look: Look, answers: Answers, settings: Settings
) -> None:
    for operation in (APPLIED, DEFAULTS):
        answers.say(operation, quotas())
    many = changed(settings, "tuning", trials=20, parallel=11)
    (line,) = [detail for status, detail in look("quotas", many) if detail.startswith("tuning.parallel is 11")]
    assert "10 parallel training jobs unless AWS has raised your limit" in line
    few = changed(settings, "tuning", trials=20, parallel=10)
    assert not [detail for _, detail in look("quotas", few) if detail.startswith("tuning.parallel")]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"instance_count": 21},
            "training.instance_count is 21; a training job has 20 instances unless AWS has raised",
        ),
        (
            {"run_time": "6d", "wait_time": "7d"},
            "training.run_time is 6d; a training job runs for 5d unless AWS has raised",
        ),
    ],
)
def test_more_than_the_default_limits_of_a_training_job_is_a_warning(
    look: Look, answers: Answers, settings: Settings, values: dict[str, Any], words: str
) -> None:
    for operation in (APPLIED, DEFAULTS):
        answers.say(operation, quotas())
    found = look("quotas", changed(settings, "training", **values))
    assert [status for status, detail in found if detail.startswith(words)] == ["warning"]
    within = changed(settings, "training", instance_count=20, run_time="5d", wait_time="6d")
    assert not [detail for _, detail in look("quotas", within) if detail.startswith("training.")]


@pytest.mark.parametrize("profile", ["local", "demo"])
def test_the_local_profiles_need_no_more_than_the_default_quotas(profile: str) -> None:
    settings = load_settings(ROOT / "pipeline.yaml", profile)
    assert [need for need in needs(settings) if need.wanted > default(need.quota)] == []
