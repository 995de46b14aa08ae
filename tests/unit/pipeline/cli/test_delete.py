"""The command delete: what it shows, how it asks, and what it reports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.answers import Answers
from tests.unit.pipeline.conftest import Call

DEFINITION = {"Version": "2020-12-01", "Parameters": [], "Steps": []}


@pytest.fixture(autouse=True)
def upserted(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PIPELINE_PROFILE", "aws")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        role = "arn:aws:iam::123456789012:role/bins-pipeline"
        sagemaker().create_pipeline(PipelineName="bins", PipelineDefinition=json.dumps(DEFINITION), RoleArn=role)
        sagemaker().create_model_package_group(ModelPackageGroupName="bins")
        yield


def sagemaker() -> Any:
    return boto3.client("sagemaker", region_name="us-east-1")


def pipelines() -> list[str]:
    return [one["PipelineName"] for one in sagemaker().list_pipelines()["PipelineSummaries"]]


def test_what_goes_and_what_stays_is_shown_before_it_asks(call: Call) -> None:
    outcome = call("delete", stdin="n\n")
    assert (outcome.code, "deleted" in outcome.out) == (1, False)
    assert "pipeline   bins   no runs" in outcome.error
    assert "the group bins with 0 model versions; --packages deletes them" in outcome.error
    assert "Delete 1 resource? [y/N]" in outcome.error
    assert pipelines() == ["bins"]


def test_a_yes_deletes_and_reports(call: Call) -> None:
    outcome = call("delete", stdin="y\n")
    assert (outcome.code, outcome.out.splitlines()[-1]) == (0, "deleted: pipeline bins")
    assert pipelines() == []


def test_where_nobody_can_answer_nothing_is_deleted(call: Call) -> None:
    assert call("delete").code == 1
    assert pipelines() == ["bins"]


def test_versions_want_the_groups_name_and_not_a_mere_yes(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = call("delete", "--packages", stdin="y\n")
    assert outcome.code == 1
    assert outcome.error.endswith("'y' is not bins; nothing was deleted\n")
    assert pipelines() == ["bins"]
    Answers().say("sagemaker.DeleteModelPackageGroup", {})
    assert call("delete", "--packages", stdin="bins\n").out.splitlines()[-1] == "deleted: model package group bins"


def test_nothing_left_is_said_and_is_no_failure(call: Call) -> None:
    assert call("delete", "--yes").code == 0
    outcome = call("delete", "--yes")
    assert (outcome.code, outcome.out) == (0, "the pipeline bins has no resources in account 123456789012, us-east-1\n")


def test_what_remains_is_a_line_on_stderr_and_exit_1(call: Call) -> None:
    Answers().error("sagemaker.DeletePipeline", "ConflictException", "It has runs")
    outcome = call("delete", "--yes")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.error.splitlines()[-1] == (
        "remains: pipeline bins: DeletePipeline failed (ConflictException): It has runs"
    )


def test_machines_get_every_outcome(call: Call) -> None:
    document = json.loads(call("delete", "--yes", "--json").out)
    assert document["outcomes"] == [
        {
            "resource": {"kind": "pipeline", "name": "bins", "note": "no runs", "where": ""},
            "change": "deleted",
            "reason": "",
        }
    ]
    assert any("stack bins-account" in line for line in document["retained"])


def test_credentials_of_another_account_delete_nothing(call: Call, project: Path) -> None:
    settings = project / "pipeline.yaml"
    settings.write_text(settings.read_text().replace('"123456789012"', '"999999999999"'))
    outcome = call("delete", "--yes")
    assert (outcome.code, outcome.out) == (1, "")
    assert "the credentials are of account 123456789012, the settings name 999999999999" in outcome.error
    assert pipelines() == ["bins"]
