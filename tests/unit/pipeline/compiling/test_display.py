"""What Studio shows besides names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.aws.validation.shapes import check, service_model
from pipeline.compiling.display import pipeline_display
from pipeline.definition import compile_definition
from tests import golden


@pytest.fixture(scope="module")
def prod() -> dict[str, Any]:
    definition: dict[str, Any] = json.loads(compile_definition(golden.settings("prod")))
    return definition


def all_steps(steps: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for step in steps:
        yield step
        yield from all_steps([*step["Arguments"].get("IfSteps", []), *step["Arguments"].get("ElseSteps", [])])


def longest(shape: str) -> int:
    return int(service_model("sagemaker").shape_for(shape).metadata["max"])


def test_every_step_has_a_display_name_and_a_description_that_the_service_accepts(prod: dict[str, Any]) -> None:
    steps = list(all_steps(prod["Steps"]))
    assert len({step["DisplayName"] for step in steps}) == len(steps) == 11
    assert all(0 < len(step["DisplayName"]) <= longest("StepDisplayName") for step in steps)
    assert all(0 < len(step["Description"]) <= longest("StepDescription") for step in steps)


def test_every_parameter_has_the_meaning_of_its_setting_as_its_description(prod: dict[str, Any]) -> None:
    described = {parameter["Name"]: parameter["Description"] for parameter in prod["Parameters"]}
    assert all(0 < len(text) <= 4096 for text in described.values())
    assert described["Epochs"] == "Passes over the training split (in epochs; 1 to 1000)"
    assert described["TrainingInstanceType"] == "Instance type of a trial"


def test_a_parameters_description_has_the_limits_that_follow_from_other_settings() -> None:
    definition = golden.compiled("hyperband")
    (epochs,) = [parameter for parameter in definition["Parameters"] if parameter["Name"] == "Epochs"]
    settings = golden.settings("hyperband")
    assert f"{settings.hyperband_minimum()} to" in epochs["Description"] or "at least" in epochs["Description"]
    assert "(in epochs; 1 to 1000)" not in epochs["Description"]


def test_the_pipelines_display_name_and_description_are_those_that_the_service_accepts() -> None:
    shown = pipeline_display(golden.settings("prod"))
    request = {"PipelineName": "bins", "RoleArn": "arn:aws:iam::111122223333:role/bins-pipeline", **shown}
    shape = service_model("sagemaker").shape_for("UpdatePipelineRequest")
    assert list(check(request, shape, "")) == []
    assert 0 < len(shown["PipelineDescription"]) <= longest("PipelineDescription")
