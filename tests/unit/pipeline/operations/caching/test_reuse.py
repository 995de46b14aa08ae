"""The forecast of each step's cache: by the documented attributes, and by what earlier steps hand on."""

from __future__ import annotations

import copy
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline.operations.caching import reuse, savings
from pipeline.operations.caching.reuse import Expectation, Planned
from pipeline.operations.runs import executions
from pipeline.operations.runs.progress import Saving
from pipeline.settings import Settings
from tests.unit.pipeline.operations.runs_of_a_pipeline import (
    DEFINITION,
    EXECUTION,
    NOW,
    Runs,
    arn,
    content,
    definition,
    output,
    processing,
)

BY_CONTENT = definition(content)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    runs = Runs()
    for module in (executions, reuse, savings):
        monkeypatch.setattr(module, "client", runs.client)
    return runs


@pytest.fixture(autouse=True)
def saved(monkeypatch: pytest.MonkeyPatch) -> Saving:
    """What each step saves; its amount is tested with `savings`."""
    saving = Saving(600.0, 590, Decimal("0.5"))
    monkeypatch.setattr(savings.Savings, "of", lambda self, step, source: saving)
    return saving


class Foretell:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __call__(self, pipeline: dict[str, Any] = DEFINITION, **values: str) -> dict[str, Expectation]:
        return self.planned(Planned(pipeline, values))

    def planned(self, planned: Planned) -> dict[str, Expectation]:
        read = savings.reader(self._settings)
        return {step.step: step for step in reuse.forecast(self._settings, planned, read, NOW)}


@pytest.fixture
def foretell(settings: Settings, runs: Runs) -> Foretell:
    return Foretell(settings)


def outcomes(expected: dict[str, Expectation]) -> list[str]:
    """`cached RUN` for each step from the cache, else the outcome."""
    return [
        f"cached {step.source.rsplit('/', 1)[-1]}" if step.outcome == "cached" else str(step.outcome)
        for step in list(expected.values())[:3]
    ]


def test_without_an_earlier_run_every_step_runs(foretell: Foretell) -> None:
    expected = foretell()
    assert list(expected) == [
        "QueryMetadata",
        "ShardImages",
        "TuneModel",
        "EvaluateModel",
        "QualityGate",
        "RegisterModel",
    ]
    assert {step.outcome for step in expected.values()} == {"runs"}
    assert [step.why for step in expected.values()] == [
        *["no earlier run has its result"] * 3,
        "every time",
        "every time",
        "after QualityGate",
    ]


def test_the_same_again_comes_from_the_cache_with_what_that_saves(
    runs: Runs, foretell: Foretell, saved: Saving
) -> None:
    runs.add("a", hours_ago=3)
    expected = foretell()
    assert outcomes(expected) == ["cached a"] * 3
    assert expected["TuneModel"] == Expectation(
        "TuneModel", reuse.Outcome.CACHED, "created 3 h ago", arn("a"), saving=saved
    )
    assert expected["EvaluateModel"].saving is None


def test_a_hit_is_followed_to_the_run_that_made_the_result_and_its_age_counts_from_there(
    runs: Runs, foretell: Foretell
) -> None:
    names = ("QueryMetadata", "ShardImages", "TuneModel")
    runs.add("a", hours_ago=11)
    runs.add("b", hours_ago=6, cached=dict.fromkeys(names, "a"))
    runs.add("c", hours_ago=2, cached=dict.fromkeys(names, "b"))
    assert outcomes(foretell()) == ["cached a"] * 3


def test_a_copied_result_is_not_that_of_the_run_that_has_it(runs: Runs, foretell: Foretell) -> None:
    """Kind: the forecast and the cache agree on what is a source. QueryMetadata was not selected in b, whose parameters
    are others than those of its source, a."""
    runs.add("a", hours_ago=3)
    runs.add("b", hours_ago=1, copied={"QueryMetadata": "a"}, DataVersion="2")
    assert outcomes(foretell(DataVersion="2")) == ["runs"] * 3
    assert outcomes(foretell()) == ["cached a", "cached b", "cached b"]


def test_a_request_with_a_file_of_another_program_is_never_foretold(runs: Runs, foretell: Foretell) -> None:
    pipeline = copy.deepcopy(DEFINITION)
    value = {"Std:JsonGet": {"S3Uri": "s3://b/result.json", "Path": "a"}}
    pipeline["Steps"][0]["Arguments"]["Environment"] = {"VALUE": value}
    runs.add("a", hours_ago=3, definition=pipeline)
    assert foretell(pipeline)["QueryMetadata"].why == "its request contains a value of the run"


def test_an_expired_result_makes_the_steps_run_that_read_its_place(runs: Runs, foretell: Foretell) -> None:
    runs.add("a", hours_ago=13)
    # A hit does not make it younger.
    runs.add("b", hours_ago=2, cached=dict.fromkeys(["QueryMetadata", "ShardImages", "TuneModel"], "a"))
    expected = foretell()
    assert outcomes(expected) == ["runs"] * 3
    assert [step.why for step in expected.values()][:3] == [
        "13 h old, expires after 12 h",
        "QueryMetadata runs",
        "ShardImages runs",
    ]


def test_a_result_without_an_end_to_its_time_is_kept(runs: Runs, foretell: Foretell) -> None:
    pipeline = copy.deepcopy(DEFINITION)
    for step in pipeline["Steps"][:3]:
        del step["CacheConfig"]["ExpireAfter"]
    runs.add("a", hours_ago=24 * 400, definition=pipeline)
    assert outcomes(foretell(pipeline)) == ["cached a"] * 3


def test_what_is_handed_on_by_content_is_unsure_when_the_step_before_runs(runs: Runs, foretell: Foretell) -> None:
    runs.add("a", hours_ago=13, definition=BY_CONTENT)
    expected = foretell(BY_CONTENT)
    assert outcomes(expected) == ["runs", "unsure", "unsure"]
    condition = "QueryMetadata finds the same photos"
    assert (expected["ShardImages"].condition, expected["TuneModel"].condition) == (condition, condition)
    assert expected["ShardImages"].why == f"from the cache if {condition}"
    assert expected["TuneModel"].source == arn("a")


def test_of_the_same_content_the_run_that_hit_it_is_the_proof(runs: Runs, foretell: Foretell) -> None:
    """QueryMetadata ran again in b and found what a had found; c takes b's query and still a's shards."""
    runs.add("a", hours_ago=14, definition=BY_CONTENT)
    runs.add("b", hours_ago=2, cached={"ShardImages": "a", "TuneModel": "a"}, definition=BY_CONTENT)
    assert outcomes(foretell(BY_CONTENT)) == ["cached b", "cached a", "cached a"]


def test_content_of_another_run_than_the_one_whose_shards_are_there_is_unsure(runs: Runs, foretell: Foretell) -> None:
    runs.add("a", hours_ago=14, definition=BY_CONTENT)
    runs.add("b", hours_ago=2, failed=("ShardImages", "TuneModel"), definition=BY_CONTENT)
    expected = foretell(BY_CONTENT)
    assert outcomes(expected) == ["cached b", "unsure", "unsure"]
    assert expected["ShardImages"].condition == "the result of QueryMetadata is the same"


def test_a_place_of_another_run_than_the_one_whose_shards_are_there_is_another(runs: Runs, foretell: Foretell) -> None:
    runs.add("a", hours_ago=14)
    runs.add("b", hours_ago=2, failed=("ShardImages", "TuneModel"))
    expected = foretell()
    assert outcomes(expected) == ["cached b", "runs", "runs"]
    assert expected["ShardImages"].why == "QueryMetadata comes from another run"


@pytest.mark.parametrize(
    ("values", "expected", "why"),
    [
        ({"Epochs": "30", "DataVersion": "1"}, ["cached a"] * 3, "created 1 h ago"),
        # Numbers are compared as numbers, as the service resolves them.
        ({"Epochs": "+30"}, ["cached a"] * 3, "created 1 h ago"),
        ({"Epochs": "5"}, ["cached a", "cached a", "runs"], "Epochs was 30"),
        ({"ShardVersion": "2"}, ["cached a", "runs", "runs"], "ShardImages runs"),
        ({"DataVersion": "2"}, ["runs"] * 3, "ShardImages runs"),
    ],
)
def test_parameters_count_where_a_step_uses_them(
    runs: Runs, foretell: Foretell, values: dict[str, str], expected: list[str], why: str
) -> None:
    runs.add("a")
    foretold = foretell(**values)
    assert outcomes(foretold) == expected
    assert foretold["TuneModel"].why == why


def test_what_an_earlier_run_was_started_with_counts_also_where_aws_lists_the_defaults_too(
    runs: Runs, foretell: Foretell
) -> None:
    runs.add("a", hours_ago=5, Epochs="5", DataVersion="1", ShardVersion="1", TrainingVersion="1")
    runs.add("b", hours_ago=4, Epochs="7")
    assert foretell(Epochs="5")["TuneModel"].outcome == "runs"  # the shards are of b now
    runs.add("c", hours_ago=3, cached={"QueryMetadata": "b", "ShardImages": "b"}, Epochs="5")
    assert outcomes(foretell(Epochs="5")) == ["cached b", "cached b", "cached c"]


@pytest.mark.parametrize(
    ("step", "path", "value", "why"),
    [
        (0, ("AppSpecification", "ImageUri"), "QueryMetadata:2", "its image changed"),
        (0, ("AppSpecification", "ContainerArguments"), ["--other"], "its arguments changed"),
        (1, ("Environment",), {"A": "b"}, "its environment changed"),
        (1, ("ProcessingInputs",), ["other"], "its inputs changed"),
        (2, ("TrainingJobDefinition", "AlgorithmSpecification", "TrainingImage"), "t", "its image changed"),
        (2, ("TrainingJobDefinition", "StaticHyperParameters"), {}, "its hyperparameters changed"),
        (2, ("TrainingJobDefinition", "InputDataConfig"), [], "its channels changed"),
        (2, ("HyperParameterTuningJobConfig",), {"Strategy": "Bayesian"}, "its search changed"),
    ],
)
def test_a_change_of_the_definition_is_named(
    runs: Runs, foretell: Foretell, step: int, path: tuple[str, ...], value: Any, why: str
) -> None:
    runs.add("a")
    pipeline = copy.deepcopy(DEFINITION)
    target = pipeline["Steps"][step]["Arguments"]
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    changed = list(foretell(pipeline).values())[step]
    assert (changed.outcome, changed.why) == ("runs", why)


@pytest.mark.parametrize("path", [("ProcessingOutputConfig", "KmsKeyId"), ("ProcessingResources", "ClusterConfig")])
def test_what_the_cache_does_not_compare_changes_nothing(runs: Runs, foretell: Foretell, path: tuple[str, str]) -> None:
    runs.add("a")
    pipeline = copy.deepcopy(DEFINITION)
    pipeline["Steps"][2]["Arguments"].setdefault(path[0], {})[path[1]] = "another"
    assert outcomes(foretell(pipeline)) == ["cached a"] * 3


def test_steps_that_were_asked_to_run_again_are_not_looked_for(runs: Runs, foretell: Foretell) -> None:
    runs.add("a")
    version = {"ShardVersion": "fresh-1", "TrainingVersion": "fresh-1"}
    expected = foretell.planned(Planned(DEFINITION, version, ("ShardImages", "TuneModel")))
    assert outcomes(expected) == ["cached a", "runs", "runs"]
    assert {expected[step].why for step in ("ShardImages", "TuneModel")} == {"asked for by --fresh"}


def test_fresh_runs_also_where_steps_hand_on_by_content(runs: Runs, foretell: Foretell) -> None:
    runs.add("a", definition=BY_CONTENT)
    version = {"ShardVersion": "fresh-1", "TrainingVersion": "fresh-1"}
    assert outcomes(foretell.planned(Planned(BY_CONTENT, version, ("ShardImages", "TuneModel")))) == [
        "cached a",
        "runs",
        "runs",
    ]


def test_a_step_that_failed_is_no_source_and_its_run_is_one_of_the_others(runs: Runs, foretell: Foretell) -> None:
    runs.add("a", failed=("TuneModel",))
    assert outcomes(foretell()) == ["cached a", "cached a", "runs"]


def test_a_cache_that_is_switched_off_says_so_and_asks_for_no_runs(runs: Runs, foretell: Foretell) -> None:
    runs.add("a")
    pipeline = copy.deepcopy(DEFINITION)
    for step in pipeline["Steps"][:3]:
        step["CacheConfig"]["Enabled"] = False
    expected = foretell(pipeline)
    assert {step.why for step in list(expected.values())[:3]} == {"its cache is off"}
    assert runs.asked == {}


def test_a_request_that_names_the_run_is_never_found(runs: Runs, foretell: Foretell) -> None:
    pipeline = {"Steps": [processing("Mine", ["--run", EXECUTION])]}
    runs.add("a", definition=pipeline)
    assert foretell(pipeline)["Mine"].why == "its request contains a value of the run"


def test_of_somebody_elses_definition_what_is_not_known_is_unsure(runs: Runs, foretell: Foretell) -> None:
    cache = {"Enabled": True, "ExpireAfter": "PT1H"}
    pipeline = {"Steps": [{"Name": "Ask", "Type": "Lambda", "Arguments": {}, "CacheConfig": cache}]}
    assert foretell(pipeline)["Ask"].outcome == "unsure"
    assert "Lambda" in foretell(pipeline)["Ask"].why


def test_a_property_of_a_job_is_another_one_when_the_job_runs(runs: Runs, foretell: Foretell) -> None:
    name = {"Get": "Steps.First.ProcessingJobName"}
    pipeline = {"Steps": [processing("First", [], expire="PT1H"), processing("Second", [name], expire="P1D")]}
    runs.add("a", hours_ago=2, definition=pipeline)
    run = runs.by_name["a"]
    run.steps = {step: {**run.steps["QueryMetadata"], "StepName": step} for step in ("First", "Second")}
    expected = foretell(pipeline)
    assert [step.outcome for step in expected.values()] == ["runs", "runs"]
    assert expected["Second"].why == "First runs"


def test_the_look_back_ends_after_the_newest_fifty_runs(runs: Runs, foretell: Foretell) -> None:
    runs.add("old", hours_ago=11, Epochs="5")
    for number in range(reuse.LOOK_BACK):
        runs.add(f"n{number}", hours_ago=10 - number / 10)
    assert foretell(Epochs="5")["TuneModel"].why == "Epochs was 30"
    assert runs.asked["list_pipeline_executions"] == 1
    assert runs.asked["list_pipeline_execution_steps"] == reuse.LOOK_BACK


def test_it_reads_no_more_runs_than_it_takes(runs: Runs, foretell: Foretell) -> None:
    for number in range(20):
        runs.add(f"n{number}", hours_ago=10 - number / 10)
    foretell()
    assert runs.asked["describe_pipeline_definition_for_execution"] == reuse.AT_ONCE


@pytest.mark.parametrize("pipeline", [DEFINITION, BY_CONTENT], ids=["place", "content"])
def test_what_no_other_run_could_change_is_not_looked_for_in_others(
    runs: Runs, foretell: Foretell, pipeline: dict[str, Any]
) -> None:
    for number in range(reuse.LOOK_BACK):
        runs.add(f"n{number}", hours_ago=100 - number, definition=pipeline)
    changed = copy.deepcopy(pipeline)
    changed["Steps"][0]["CacheConfig"] = {"Enabled": False}
    assert foretell(changed)["TuneModel"].outcome == ("runs" if pipeline is DEFINITION else "unsure")
    assert runs.asked["describe_pipeline_definition_for_execution"] == reuse.AT_ONCE


def test_a_parameter_without_a_value_is_one_too(runs: Runs, foretell: Foretell) -> None:
    pipeline = copy.deepcopy(DEFINITION)
    del pipeline["Parameters"][3]["DefaultValue"]
    runs.add("a", definition=pipeline, Epochs="3")
    assert foretell(pipeline)["TuneModel"].why == "Epochs was 3"


def test_runs_from_before_every_result_has_expired_are_left_alone(runs: Runs, foretell: Foretell) -> None:
    runs.add("a", hours_ago=24 * 40)
    assert outcomes(foretell(DataVersion="2")) == ["runs"] * 3
    assert foretell()["QueryMetadata"].why == "no earlier run has its result"


def test_a_run_that_reached_no_step_is_passed_over(runs: Runs, foretell: Foretell) -> None:
    runs.add("a")
    runs.add("b")
    runs.by_name["b"].steps = {}
    assert outcomes(foretell()) == ["cached a"] * 3


def test_what_aws_refuses_is_for_the_caller(runs: Runs, foretell: Foretell) -> None:
    error = {"Error": {"Code": "AccessDeniedException", "Message": "no"}}
    runs.fails["list_pipeline_executions"] = ClientError(error, "ListPipelineExecutions")  # type: ignore[arg-type]
    with pytest.raises(ClientError):
        foretell()


@pytest.mark.parametrize(
    ("passed", "text"),
    [(timedelta(seconds=40), "40 s"), (timedelta(minutes=59), "59 min"), (timedelta(hours=47), "1 d")],
)
def test_ages_are_in_their_largest_unit(passed: timedelta, text: str) -> None:
    assert reuse._text(passed) == text


def planned_apart() -> dict[str, Any]:
    """The pipeline with a plan that is made apart from the shards, and with an exploration."""
    pipeline = copy.deepcopy(BY_CONTENT)
    query, shard, *rest = pipeline["Steps"]
    shard["Arguments"]["AppSpecification"]["ContainerArguments"] = ["--plan", content("PlanShards")]
    plan = processing("PlanShards", ["--labels", content("QueryMetadata")], expire="P30D")
    plan["Arguments"]["Environment"] = {"SHARD_VERSION": {"Get": "Parameters.ShardVersion"}}
    explore = processing("ExploreData", [], [output("QueryMetadata"), content("QueryMetadata")], "P30D")
    pipeline["Steps"] = [query, explore, plan, shard, *rest]
    return pipeline


def test_a_plan_comes_from_the_cache_as_the_shards_do_and_an_exploration_only_with_its_query(
    runs: Runs, foretell: Foretell
) -> None:
    pipeline = planned_apart()
    runs.add("a", hours_ago=13, definition=pipeline, besides=("PlanShards", "ExploreData"))
    expected = foretell(pipeline)
    condition = "QueryMetadata finds the same photos"
    assert {name: step.condition for name, step in expected.items() if step.outcome == "unsure"} == dict.fromkeys(
        ("PlanShards", "ShardImages", "TuneModel"), condition
    )
    assert (expected["ExploreData"].outcome, expected["ExploreData"].why) == ("runs", "QueryMetadata runs")


def test_another_version_of_the_shards_plans_again_and_may_leave_the_same_plan(runs: Runs, foretell: Foretell) -> None:
    pipeline = planned_apart()
    pipeline["Steps"][3]["Arguments"]["Environment"] = {}
    runs.add("a", hours_ago=1, definition=pipeline, besides=("PlanShards", "ExploreData"))
    expected = foretell(pipeline, ShardVersion="2")
    assert [expected[name].outcome for name in ("QueryMetadata", "ExploreData", "PlanShards")] == [
        "cached",
        "cached",
        "runs",
    ]
    assert expected["ShardImages"].condition == "PlanShards makes the same plan"
