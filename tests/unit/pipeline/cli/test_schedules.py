"""The commands of schedules: what they print for people and for machines."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from tests.unit.pipeline.conftest import Call

DEFINITION = {"Version": "2020-12-01", "Parameters": [{"Name": "Epochs", "Type": "Integer"}], "Steps": []}


@pytest.fixture(autouse=True)
def upserted(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PIPELINE_PROFILE", "aws")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    # Times are printed in the reader's own time zone.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        with mock_aws():
            boto3.client("sagemaker", region_name="us-east-1").create_pipeline(
                PipelineName="bins",
                PipelineDefinition=json.dumps(DEFINITION),
                RoleArn="arn:aws:iam::123456789012:role/bins-pipeline",
                ClientRequestToken="x" * 32,
            )
            yield
    time.tzset()


def test_a_schedule_is_printed_with_its_next_run_and_its_values(call: Call) -> None:
    outcome = call("schedule", "at(2100-01-02T03:00:00)", "-p", "Epochs=3", "--name", "once")
    assert outcome.out.splitlines() == [
        "created: arn:aws:scheduler:us-east-1:123456789012:schedule/bins/once",
        "next run: 2100-01-02 03:00:00",
    ]
    heading, row = call("schedules").out.splitlines()
    assert heading.split() == ["schedule", "due", "next", "starts"]
    assert row.split() == ["once", "at(2100-01-02T03:00:00)", "UTC", "2100-01-02", "03:00:00", "run", "Epochs=3"]
    [listed] = json.loads(call("schedules", "--json").out)
    assert (listed["name"], listed["parameters"], listed["state"]) == ("once", {"Epochs": "3"}, "ENABLED")


def test_the_same_command_again_says_that_nothing_changed(call: Call) -> None:
    call("schedule", "cron(0 3 * * ? *)")
    assert call("schedule", "cron(0 3 * * ? *)").out.startswith("unchanged: ")
    changed = json.loads(call("schedule", "cron(0 4 * * ? *)", "--timezone", "Europe/Berlin", "--json").out)
    assert (changed["change"], changed["schedule"]["timezone"]) == ("updated", "Europe/Berlin")


def test_no_schedules_are_answered_with_how_to_make_one(call: Call) -> None:
    assert call("schedules").out == (
        "no schedules yet; create one: python -m pipeline --profile aws schedule 'rate(1 day)'\n"
    )
    assert json.loads(call("schedules", "--json").out) == []


def test_a_removed_schedule_is_named_and_one_that_is_not_there_is_an_error(call: Call) -> None:
    call("schedule", "rate(1 day)")
    assert call("unschedule").out == "deleted: arn:aws:scheduler:us-east-1:123456789012:schedule/bins/bins-runs\n"
    outcome = call("unschedule", "nightly")
    assert (outcome.code, outcome.error) == (
        1,
        "the pipeline bins has no schedule nightly; see them: python -m pipeline --profile aws schedules\n",
    )


def test_a_wrong_expression_is_one_line_and_needs_no_account(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_PROFILE", "local")  # where nothing runs
    outcome = call("schedule", "every day")
    assert (outcome.code, outcome.error) == (
        1,
        "'every day' is no schedule expression; write rate(1 day), cron(0 3 * * ? *) or at(2030-12-01T03:00:00)\n",
    )
