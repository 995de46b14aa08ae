"""A run's parameters, checked before anything starts."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest

from pipeline import ROOT
from pipeline.definition import compile_definition
from pipeline.operations.runs.parameters import checked, parse
from pipeline.settings import Settings
from pipeline.settings.file import load_settings
from steps.contracts.errors import PipelineError


@functools.cache
def settings_of(profile: str = "prod") -> Settings:
    return load_settings(ROOT / "pipeline.yaml", profile)


DECLARED = [
    {"Name": "Epochs", "Type": "Integer", "DefaultValue": 30},
    {"Name": "MinimumAccuracy", "Type": "Float", "DefaultValue": 0.5},
    {"Name": "DataVersion", "Type": "String", "DefaultValue": "1"},
    {"Name": "ApprovalStatus", "Type": "String", "EnumValues": ["PendingManualApproval", "Approved"]},
    {"Name": "Spot", "Type": "Boolean", "DefaultValue": True},
]


def problems(**given: str) -> list[str]:
    with pytest.raises(PipelineError) as caught:
        checked(settings_of(), {"Parameters": DECLARED, "Steps": []}, given)
    return str(caught.value).splitlines()


def test_good_values_come_as_the_service_takes_them() -> None:
    given = {"Epochs": "3", "ApprovalStatus": "Approved"}
    assert checked(settings_of(), {"Parameters": DECLARED, "Steps": []}, given) == [
        {"Name": "Epochs", "Value": "3"},
        {"Name": "ApprovalStatus", "Value": "Approved"},
    ]


def test_an_unknown_name_is_answered_with_the_one_it_resembles() -> None:
    assert problems(Epoch="3") == ["the pipeline has no parameter Epoch; did you mean Epochs?"]


def test_a_name_like_no_other_is_answered_with_all_there_are() -> None:
    [line] = problems(Zzz="3")
    assert line.endswith("it has: Epochs, MinimumAccuracy, DataVersion, ApprovalStatus, Spot")


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("Epochs", "3.5", "a whole number"),
        ("Epochs", "three", "a whole number"),
        ("Epochs", "", "a whole number"),
        ("MinimumAccuracy", "half", "a number"),
        ("MinimumAccuracy", "nan", "a number"),
        ("DataVersion", "", "text that is not empty"),
        ("Spot", "yes", "true or false"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(name: str, value: str, wanted: str) -> None:
    assert problems(**{name: value}) == [f"{name} needs {wanted}, not {value!r}"]


def test_a_value_that_is_not_allowed_is_answered_with_those_that_are() -> None:
    assert problems(ApprovalStatus="Yes") == [
        "ApprovalStatus cannot be 'Yes'; it is one of: PendingManualApproval, Approved"
    ]


def test_a_value_longer_than_the_service_takes_is_refused() -> None:
    assert problems(DataVersion="x" * 1025) == ["DataVersion has 1,025 characters; SageMaker accepts at most 1,024"]


def test_all_mistakes_are_listed() -> None:
    assert len(problems(Epochs="x", MinimumAccuracy="y", Nothing="z")) == 3


def test_assignments_are_read_at_the_first_equals_sign() -> None:
    assert parse(["ImageLocation=s3://a/b=c", "Epochs=3"]) == {"ImageLocation": "s3://a/b=c", "Epochs": "3"}


@pytest.mark.parametrize("assignment", ["Epochs", "=3", ""])
def test_what_is_no_assignment_is_refused(assignment: str) -> None:
    with pytest.raises(PipelineError, match="write NAME=VALUE"):
        parse([assignment])


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(PipelineError, match="Epochs is given twice"):
        parse(["Epochs=3", "Epochs=4"])


@pytest.fixture(scope="module")
def definition() -> dict[str, Any]:
    return json.loads(compile_definition(settings_of()))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "ImageLocation",
            "s3://raw/set(1)",
            "ImageLocation: 's3://raw/set(1)' contains '('; Athena and the registry accept",
        ),
        ("DataVersion", "a b;c", "DataVersion: 'a b;c' contains ';'; model packages"),
        ("ShardVersion", "v[2]", "ShardVersion: 'v[2]' contains '['; model packages"),
        ("TrainingVersion", "x" * 257, f"TrainingVersion: {'x' * 128!r} has 257 characters; model packages"),
        ("ShardVersion", "x" * 300, f"ShardVersion: {'x' * 128!r} has 300 characters; model packages"),
        ("ImageLocation", "raw/photos", "ImageLocation: 'raw/photos' is not an S3 URI"),
        ("ShardInstanceCount", "101", "ShardInstanceCount is '101': it must be 1 to 100"),
        ("ShardInstanceCount", "0", "ShardInstanceCount is '0': it must be 1 to 100"),
        ("TrainingInstanceCount", "-1", "TrainingInstanceCount is '-1': it must be 1 to 64"),
    ],
)
def test_a_value_that_a_later_request_would_not_accept_is_refused_before_the_start(
    definition: dict[str, Any], name: str, value: str, message: str
) -> None:
    with pytest.raises(PipelineError) as caught:
        checked(settings_of(), definition, {"Epochs": "3", name: value})
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_values_that_every_request_accepts_are_passed_on(definition: dict[str, Any]) -> None:
    given = {"ImageLocation": "s3://raw/set-1/a=b", "DataVersion": "2026 11/28 @x", "ShardInstanceCount": "100"}
    listed = [{"Name": name, "Value": value} for name, value in given.items()]
    assert checked(settings_of(), definition, given) == listed


def test_a_value_in_a_text_of_several_parts_is_checked_with_them(definition: dict[str, Any]) -> None:
    """A Std:Join is joined as far as its parts are there before the run."""
    steps = json.loads(json.dumps(definition["Steps"]))
    steps[1]["Arguments"]["Environment"]["X"] = {
        "Std:Join": {"On": "-", "Values": ["y" * 200, {"Get": "Parameters.DataVersion"}]}
    }
    changed = {**definition, "Steps": steps}
    assert checked(settings_of(), changed, {"DataVersion": "z" * 55})
    with pytest.raises(PipelineError, match=r"^DataVersion cannot be .*QueryMetadata.Environment.X: 257 characters"):
        checked(settings_of(), changed, {"DataVersion": "z" * 56})
