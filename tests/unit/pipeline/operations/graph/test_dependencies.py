"""What waits for what in a definition, and which edges are drawn."""

from __future__ import annotations

import pytest

from pipeline.operations.graph.dependencies import Dependency, dependencies, steps_of
from steps.contracts.errors import PipelineError
from tests.unit.pipeline.operations.graph.definitions import condition, definition, job, reviewed


def test_the_pipeline_of_the_project_is_a_chain_with_three_conditions() -> None:
    assert dependencies(reviewed()) == (
        Dependency("CheckParameters", "CheckParametersFailed", False),
        Dependency("QueryMetadata", "ShardImages"),
        Dependency("ShardImages", "TuneModel"),
        Dependency("TuneModel", "EvaluateModel"),
        Dependency("EvaluateModel", "QualityGate"),
        Dependency("QualityGate", "QualityGateFailed", False),
        Dependency("EvaluateModel", "NewVersion"),
        Dependency("NewVersion", "RegisterModel", True),
        Dependency("RegisterModel", "DeployModel"),
    )


@pytest.mark.parametrize(
    "step",
    [
        {"DependsOn": ["A"]},
        {"Arguments": {"x": [{"Get": "Steps.A.ProcessingOutputConfig.Outputs['o'].S3Output.S3Uri"}]}},
        {"Arguments": {"x": {"Std:Join": {"On": "/", "Values": ["s3:/", {"Get": "Steps.A.ModelArn"}]}}}},
        {"Arguments": {"x": {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.A.PropertyFiles.F"}, "Path": "p"}}}},
        {"FunctionArn": {"Get": "Steps.A.OutputParameters['arn']"}},
    ],
    ids=["depends-on", "property", "join", "property-file", "function"],
)
def test_a_step_waits_for_what_it_names(step: dict[str, object]) -> None:
    assert dependencies(definition(job("A"), {"Name": "B", "Type": "Lambda", **step})) == (Dependency("A", "B"),)


def test_a_step_has_its_display_name_and_its_place_in_a_branch() -> None:
    inner = job("C", DisplayName="Shown", Description="What it does")
    steps = steps_of(definition(job("A"), condition("B", "A", [], [inner])))
    assert list(steps) == ["A", "B", "C"]
    assert (steps["C"].title, steps["C"].description, steps["C"].condition, steps["C"].branch) == (
        "Shown",
        "What it does",
        "B",
        False,
    )
    assert steps["A"].title == "A"


def test_a_condition_does_not_wait_for_what_its_branches_name() -> None:
    drawn = dependencies(definition(job("A"), job("Z"), condition("B", "A", [job("C", "Z")], [])))
    assert drawn == (Dependency("A", "B"), Dependency("Z", "C"), Dependency("B", "C", True))


def test_an_edge_that_follows_from_others_is_left_out() -> None:
    drawn = dependencies(definition(job("A"), job("B", "A"), job("C", "A", "B")))
    assert drawn == (Dependency("A", "B"), Dependency("B", "C"))


def test_a_later_step_of_a_branch_has_no_edge_from_the_condition() -> None:
    branch = [job("C"), condition("D", "C", [job("E")], [])]
    drawn = dependencies(definition(job("A"), condition("B", "A", branch, [])))
    assert [edge for edge in drawn if edge.source == "B"] == [Dependency("B", "C", True)]


def test_a_step_that_waits_for_another_branch_keeps_the_edge_of_its_own() -> None:
    drawn = dependencies(definition(job("A"), condition("B", "A", [job("C")], [job("D", "C")])))
    assert [edge for edge in drawn if edge.target == "D"] == [Dependency("B", "D", False), Dependency("C", "D")]


def test_two_steps_of_a_name_are_refused() -> None:
    with pytest.raises(PipelineError, match="two steps with the name 'A'; rename one of them"):
        dependencies(definition(job("A"), condition("B", "A", [job("A")], [])))


def test_a_step_that_does_not_exist_is_named() -> None:
    with pytest.raises(PipelineError, match=r"^B waits for the step 'Z', which the definition does not have$"):
        dependencies(definition(job("A"), job("B", "A", "Z")))


def test_steps_that_wait_for_each_other_are_named() -> None:
    with pytest.raises(PipelineError, match=r"^steps of the definition wait for each other: .*A -> ") as caught:
        dependencies(definition(job("A", "B"), job("B", "A")))
    assert "B" in str(caught.value)
