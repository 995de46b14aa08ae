"""The model card's schema: what AWS's page allows passes, and each of its limits is refused with its place."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pipeline.aws.model_card import SCHEMA, problems_of_model_card

METRICS: list[dict[str, Any]] = [
    {"name": "accuracy", "type": "number", "value": 0.5, "notes": "of the test split"},
    {"name": "kind", "type": "string", "value": "grouped", "x_axis_name": "x", "y_axis_name": "y"},
    {"name": "passed", "type": "boolean", "value": True},
    {"name": "loss", "type": "linear_graph", "value": [[1, 0.5], [2, 0.25]], "x_axis_name": "epoch"},
    {"name": "by count", "type": "bar_chart", "value": [0.5] * 20, "x_axis_name": ["1"] * 20, "y_axis_name": "share"},
    {"name": "confusion", "type": "matrix", "value": [[1] * 20] * 20, "x_axis_name": ["1"], "y_axis_name": ["1"]},
]
CARD: dict[str, Any] = {
    "model_overview": {"model_creator": "a team", "model_artifact": ["s3://bucket/model.tar.gz"]},
    "intended_uses": {"purpose_of_model": "Count.", "risk_rating": "Low"},
    "business_details": {"line_of_business": "warehouses"},
    "training_details": {
        "objective_function": {"function": {"function": "Maximize", "facet": "Accuracy"}, "notes": "none"},
        "training_job_details": {
            "training_environment": {"container_image": ["image"]},
            "training_metrics": [{"name": "loss", "value": 1.5}],
            "hyper_parameters": [{"name": "epochs", "value": "3"}],
        },
    },
    "evaluation_details": [{"name": "test split", "metric_groups": [{"name": "all", "metric_data": METRICS}]}],
    "additional_information": {"custom_details": {"run": "arn"}},
}
JOB = ("training_details", "training_job_details")
DATA = ("evaluation_details", 0, "metric_groups", 0, "metric_data")


def changed(place: tuple[str | int, ...], value: Any) -> str:
    """The card with another value at one place."""
    card = copy.deepcopy(CARD)
    part: Any = card
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    return json.dumps(card)


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("card", [CARD, {}, {"evaluation_details": []}])
def test_what_the_page_allows_passes(card: dict[str, Any]) -> None:
    assert problems_of_model_card(json.dumps(card)) == []


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        ((*DATA, 4, "value"), [0.5] * 21, "metric_data[4].value: 21 items, at most 20 are accepted"),
        ((*DATA, 5, "value"), [[1]] * 21, "metric_data[5].value: 21 items, at most 20 are accepted"),
        ((*DATA, 5, "value"), [[1] * 21], "metric_data[5].value[0]: 21 items, at most 20 are accepted"),
        ((*DATA, 5, "value"), [["much"]], "metric_data[5].value[0][0]: 'much' is not of type 'number'"),
        ((*DATA, 3, "value"), [[1, 2, 3]], "metric_data[3].value[0]: 3 items, at most 2 are accepted"),
        ((*DATA, 4, "x_axis_name"), ["1" * 64], "metric_data[4].x_axis_name[0]: 64 characters, at most 63"),
        ((*DATA, 4, "x_axis_name"), "count", "metric_data[4].x_axis_name: 'count' is not of type 'array'"),
        ((*DATA, 0, "type"), "pie", "metric_data[0].type: 'pie' is not one of"),
        ((*DATA, 0), {"name": "accuracy", "type": "number"}, "metric_data[0]: 'value' is a required property"),
        ((*DATA, 0), {"name": "accuracy", "value": 1}, "metric_data[0]: 'type' is a required property"),
        ((*DATA, 1, "value"), "a" * 64, "metric_data[1].value: 64 characters, at most 63 are accepted"),
        ((*DATA, 0, "name"), "", "metric_data[0].name: '' should be non-empty"),
        (("evaluation_details", 0, "name"), "n" * 64, "evaluation_details[0].name: 64 characters, at most 63"),
        (("evaluation_details", 0, "datasets"), ["s3://b"] * 11, "datasets: 11 items, at most 10"),
        (("evaluation_details", 0), {}, "evaluation_details[0]: 'name' is a required property"),
        (("model_overview", "model_artifact"), ["s3://b"] * 16, "model_artifact: 16 items, at most 15"),
        (("model_overview", "model_id"), "m", "'model_id' was unexpected"),
        ((*JOB, "hyper_parameters", 0, "value"), "v" * 256, "hyper_parameters[0].value: 256 characters, at most 255"),
        ((*JOB, "hyper_parameters", 0, "value"), 3, "hyper_parameters[0].value: 3 is not of type 'string'"),
        ((*JOB, "training_metrics", 0, "value"), "1", "training_metrics[0].value: '1' is not of type 'number'"),
        (("training_details", "training_observations"), "o" * 1025, "1,025 characters, at most 1024 are accepted"),
        (("intended_uses", "risk_rating"), "None", "risk_rating: 'None' is not one of"),
        (("additional_information", "custom_details", "run"), 1, "custom_details.run: 1 is not of type 'string'"),
        (("package_details",), {}, "'package_details' was unexpected"),
    ],
)
def test_what_the_page_does_not_allow_is_refused_with_its_place(
    place: tuple[str | int, ...], value: Any, problem: str
) -> None:
    (found,) = problems_of_model_card(changed(place, value))
    assert problem in found


def test_a_long_card_and_one_that_is_not_json_are_refused() -> None:
    long = json.dumps(
        {"additional_information": {"custom_details": {f"detail{key}": "d" * 1000 for key in range(100)}}}
    )
    assert problems_of_model_card(long) == [
        f"the model card has {len(long):,} characters, at most 100,000 are accepted"
    ]
    assert "not JSON" in problems_of_model_card("{")[0]
    assert "NaN is not a JSON value" in problems_of_model_card('{"model_overview": NaN}')[0]


def test_a_long_message_is_cut() -> None:
    (problem,) = problems_of_model_card(changed((*DATA, 0, "type"), "pie" * 1000))
    assert problem.endswith("[cut]")
    assert len(problem) < 300
