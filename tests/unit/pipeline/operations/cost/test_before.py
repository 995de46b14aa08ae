"""The kind: money is spent before anybody knows how much.

What a run will cost follows its parameters and its cached steps, not the file alone; an endpoint's amount is per hour;
what goes on costing is listed, and what could not be looked up is named.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from pipeline.cli.views.cost import run_cost_lines
from pipeline.operations.cost import before, measured, standing
from pipeline.operations.cost.before import RunCost
from pipeline.operations.cost.money import ZERO, Range
from pipeline.operations.cost.words import hourly_text, standing_lines
from pipeline.operations.runs import schedules
from pipeline.operations.runs.executions import Execution
from pipeline.operations.runs.schedules import Schedule
from pipeline.operations.serving import endpoint
from pipeline.operations.serving.endpoint import Endpoint
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from tests.unit.pipeline.operations.cost.test_estimate import OURS, PROD, changed, photos

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
STEPS = ("QueryMetadata", "ShardImages", "TuneModel", "EvaluateModel")
DECLARED = {
    "Parameters": [
        {"Name": "Epochs", "Type": "Integer", "DefaultValue": 30},
        {"Name": "TrainingInstanceCount", "Type": "Integer", "DefaultValue": 1},
        {"Name": "ApprovalStatus", "Type": "String", "DefaultValue": "PendingManualApproval"},
        {"Name": "ImageLocation", "Type": "String", "DefaultValue": "s3://aft-vbi-pds"},
        {"Name": "DataVersion", "Type": "String"},
    ]
}


@pytest.fixture
def of_run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Estimates a run of 10,000 photos whose training rate nobody has measured."""
    counted: list[bool] = []

    def count(settings: Settings, number: object, kilobytes: object, *, is_new: bool) -> measured.Photos:
        counted.append(is_new)
        return photos(10_000, settings)

    monkeypatch.setattr(measured, "photos", count)
    monkeypatch.setattr(measured, "training_rate", lambda settings: (None, ""))

    def estimated(values: dict[str, str], settings: Settings = PROD, **steps: Any) -> RunCost:
        cost = before.of_run(settings, DECLARED, values, OURS, **steps)
        assert counted[-1] == (values.get("ImageLocation", "s3://aft-vbi-pds") != settings.data.image_location)
        return cost

    return estimated


def tuned(cost: RunCost) -> Range:
    return sum((item.usd for item in cost.estimate.run.items if item.part == "TuneModel" and item.usd), ZERO)


def test_the_parameters_of_a_run_change_its_cost(of_run: Any) -> None:
    plain = of_run({})
    assert tuned(of_run({"Epochs": "60"})).high > 1.5 * float(tuned(plain).high)
    assert tuned(of_run({"Epochs": "1"})).high < tuned(plain).high
    assert of_run({"TrainingInstanceType": "ml.m5.xlarge"}).estimate.run.items != plain.estimate.run.items
    assert of_run({"ShardInstanceCount": "9"}).estimate.step_seconds["ShardImages"].high < (
        plain.estimate.step_seconds["ShardImages"].high
    )
    assert of_run({"MinimumAccuracy": "0.9", "DataVersion": "2"}) == plain


def test_the_defaults_are_those_of_the_pipeline_in_the_account_and_not_of_the_file(of_run: Any) -> None:
    """After a change of the file without `upsert` a run still has the old values."""
    edited = changed(training={"epochs": 300})
    assert tuned(of_run({}, edited)) == tuned(of_run({}))


def test_another_location_has_other_photos_than_the_latest_run(of_run: Any) -> None:
    of_run({"ImageLocation": "s3://elsewhere/photos"})


@pytest.mark.parametrize("number", range(len(STEPS) + 1))
def test_cached_steps_cost_nothing_and_unsure_ones_may(of_run: Any, number: int) -> None:
    steps = set(STEPS[:number])
    whole, cached, unsure = of_run({}), of_run({}, cached=steps), of_run({}, unsure=steps)
    assert set(cached.estimate.step_seconds) == set(STEPS) - steps
    assert {item.part for item in cached.estimate.run.items} == set(STEPS) - steps
    assert unsure.estimate.run.total == Range(cached.estimate.run.total.low, whole.estimate.run.total.high)
    assert unsure.estimate.seconds == Range(cached.estimate.seconds.low, whole.estimate.seconds.high)


@pytest.mark.parametrize(
    ("values", "approval", "deploys"),
    [
        ({}, "PendingManualApproval", False),
        ({"ApprovalStatus": "Approved"}, "PendingManualApproval", True),
        ({"ApprovalStatus": "PendingManualApproval"}, "Approved", False),
    ],
)
def test_a_run_that_deploys_by_itself_names_the_endpoints_cost(
    of_run: Any, values: dict[str, str], approval: str, deploys: bool
) -> None:
    cost = of_run(values, changed(registry={"approval": approval}))
    lines = run_cost_lines(cost, local=False)
    assert (cost.endpoint is not None) is deploys
    assert any(line.startswith("then its version is deployed: $0.20 an hour, ") for line in lines) is deploys


def test_a_run_without_a_price_costs_at_least_the_rest(of_run: Any) -> None:
    line, missing = run_cost_lines(of_run({"TrainingInstanceType": "ml.p9.xlarge"}), local=False)
    assert line.startswith("this run: at least $")
    assert missing.startswith("no price for ml.p9.xlarge")
    assert run_cost_lines(of_run({}), local=True)[0].startswith("this run costs nothing here; on AWS: $")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"instance_type": "ml.c5.xlarge"}, "$0.20 an hour, $148.92 a month (ml.c5.xlarge)"),
        ({"instance_count": 3, "instance_type": "ml.c5.xlarge"}, "$0.61 an hour, $446.76 a month (3 x ml.c5.xlarge)"),
        (
            {"maximum_instance_count": 4, "instance_type": "ml.c5.xlarge"},
            "$0.20 to $0.82 an hour, $148.92 to $595.68 a month (1 to 4 x ml.c5.xlarge)",
        ),
        ({"mode": "serverless"}, "nothing without requests (serverless)"),
    ],
)
def test_an_endpoint_costs_its_instances_per_hour(values: dict[str, Any], text: str) -> None:
    hourly = before.of_endpoint(changed(endpoint=values), OURS)
    assert hourly_text(hourly, local=False) == text
    assert hourly_text(hourly, local=True) == f"nothing here; on AWS {text}"


# ------------------------------------------------------------------------------------------------ what goes on costing

SERVING = Endpoint("bins", "InService", "bins-v7", "", NOW, "", 2, "ml.c5.xlarge")
RUNS = [Execution("arn:x/abc", "Executing", NOW), Execution("arn:x/def", "Succeeded", NOW)]
DAILY = Schedule("daily", "bins", "rate(1 day)", "UTC", "ENABLED", "arn:pipeline/bins", {}, NOW)


def lines(monkeypatch: pytest.MonkeyPatch, served: object, due: object, runs: list[Execution]) -> list[str]:
    def answer(content: object) -> Any:
        def call(settings: Settings) -> object:
            if isinstance(content, Exception):
                raise content
            return content

        return call

    monkeypatch.setattr(endpoint, "find", answer(served))
    monkeypatch.setattr(schedules, "schedules", answer(due))
    return standing_lines(standing.read(PROD, runs, OURS), "python -m pipeline", local=False)


def test_everything_that_goes_on_costing_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    disabled = Schedule("off", "bins", "rate(1 day)", "UTC", "DISABLED", "arn:pipeline/bins", {})
    assert lines(monkeypatch, SERVING, [DAILY, disabled], RUNS) == [
        "the endpoint bins (InService) costs $0.41 an hour, $297.84 a month (2 x ml.c5.xlarge)",
        "the run abc goes on costing; so far: python -m pipeline cost abc",
        "1 schedule will start more: daily; see: python -m pipeline schedules",
    ]


def test_nothing_goes_on_costing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lines(monkeypatch, None, [], RUNS[1:]) == ["nothing goes on costing, besides storage"]


def test_what_was_not_looked_up_is_named_and_is_not_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = PipelineError("these credentials may not look; ask")
    assert lines(monkeypatch, refused, refused, []) == [
        "the endpoint was not looked up: these credentials may not look",
        "schedules were not looked up: these credentials may not look",
    ]


def test_amounts_are_not_rounded_before_they_are_added() -> None:
    assert before.of_instances(OURS, "ml.c5.xlarge", Range.of(3)).usd == Range.of(Decimal("0.612"))
