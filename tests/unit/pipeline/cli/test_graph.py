"""`graph`: the drawing of the definition and of a run, to a file or to stdout."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import boto3
import pytest
from moto import mock_aws

from tests.answers import Answers
from tests.unit.pipeline.conftest import Call
from tests.unit.pipeline.operations.graph.definitions import condition, definition, job

NAMESPACE = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def run(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The id of a run whose first step has succeeded, and whose second one runs."""
    monkeypatch.setenv("PIPELINE_PROFILE", "aws")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        sagemaker = boto3.client("sagemaker", region_name="us-east-1")
        steps = definition(job("Query"), job("Train", "Query", kind="Training"), condition("Gate", "Train", [], []))
        sagemaker.create_pipeline(
            PipelineName="bins",
            PipelineDefinition=json.dumps(steps),
            RoleArn="arn:aws:iam::123456789012:role/bins-pipeline",
            ClientRequestToken="x" * 32,
        )
        arn = sagemaker.start_pipeline_execution(PipelineName="bins")["PipelineExecutionArn"]
        answers = Answers()
        started: dict[str, Any] = {"StartTime": 1767323045, "EndTime": 1767323230}
        reached = [
            {"StepName": "Query", "StepStatus": "Succeeded", **started},
            {"StepName": "Train", "StepStatus": "Executing", "StartTime": 1767323230},
        ]
        answers.say("sagemaker.ListPipelineExecutionSteps", {"PipelineExecutionSteps": reached})
        execution = {"PipelineExecutionArn": arn, "PipelineExecutionStatus": "Executing", "CreationTime": 1767323045}
        answers.say("sagemaker.DescribePipelineExecution", execution)
        yield arn.rsplit("/", 1)[-1]


@pytest.mark.usefixtures("project")
def test_the_definition_is_an_svg_on_stdout_without_an_account(call: Call) -> None:
    outcome = call("graph")
    assert outcome.code == 0, outcome.error
    tree = ElementTree.fromstring(outcome.out)
    assert tree.find(f"{NAMESPACE}title").text == "The steps of the pipeline bins"
    assert "QueryMetadata · processing" in [text.text for text in tree.iter(f"{NAMESPACE}text")]


def test_a_file_of_mermaid_is_written_with_its_folder_and_its_path_printed(call: Call, project: Path) -> None:
    outcome = call("graph", "--output", "drawings/bins.mmd")
    assert (outcome.code, outcome.out) == (0, f"{project / 'drawings' / 'bins.mmd'}\n")
    assert (project / "drawings" / "bins.mmd").read_text().startswith("flowchart TD\n")


def test_a_run_is_drawn_with_the_states_of_its_steps(call: Call, run: str) -> None:
    outcome = call("graph", "--run", "latest", "--format", "mermaid")
    assert outcome.code == 0, outcome.error
    assert 'step1["Query<br/>processing<br/>Succeeded, 3 min 05 s"]' in outcome.out
    assert "Train<br/>training<br/>Executing, " in outcome.out
    assert 'step3{{"Gate<br/>condition<br/>Waiting"}}' in outcome.out


def test_the_drawing_of_a_run_names_it_and_its_status(call: Call, run: str) -> None:
    title = ElementTree.fromstring(call("graph", "--run", run).out).find(f"{NAMESPACE}title")
    assert title.text == f"The run {run} of the pipeline bins: Executing"


@pytest.mark.usefixtures("run")
def test_a_file_that_cannot_be_written_is_a_line(call: Call, project: Path) -> None:
    (project / "taken").write_text("")
    outcome = call("graph", "--run", "latest", "--output", "taken/bins.svg")
    assert (outcome.code, outcome.error.splitlines()) == (
        1,
        ["taken/bins.svg cannot be written (File exists); name another file: --output FILE"],
    )


@pytest.mark.usefixtures("project")
def test_another_format_is_refused_with_those_that_exist(call: Call) -> None:
    outcome = call("graph", "--format", "png")
    assert outcome.code == 2
    assert "'png' is not one of 'svg', 'mermaid'" in outcome.error
