"""A run's parameters, checked before anything starts."""

from __future__ import annotations

import pytest

from pipeline.operations.runs.parameters import checked, parse
from steps.contracts.errors import PipelineError

DECLARED = [
    {"Name": "Epochs", "Type": "Integer", "DefaultValue": 30},
    {"Name": "MinimumAccuracy", "Type": "Float", "DefaultValue": 0.5},
    {"Name": "DataVersion", "Type": "String", "DefaultValue": "1"},
    {"Name": "ApprovalStatus", "Type": "String", "EnumValues": ["PendingManualApproval", "Approved"]},
    {"Name": "Spot", "Type": "Boolean", "DefaultValue": True},
]


def problems(**given: str) -> list[str]:
    with pytest.raises(PipelineError) as caught:
        checked(DECLARED, given)
    return str(caught.value).splitlines()


def test_good_values_come_as_the_service_takes_them() -> None:
    assert checked(DECLARED, {"Epochs": "3", "ApprovalStatus": "Approved"}) == [
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
