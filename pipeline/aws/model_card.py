"""The JSON schema of a model package's model card, which CreateModelPackage holds `ModelCardContent` to.

Rules of the "Model package model card schema" in
https://docs.aws.amazon.com/sagemaker/latest/dg/model-registry-details.html#model-card-schema and of AWS's
CloudFormation schema of `AWS::SageMaker::ModelCard`, which has the same parts. In four places the pages leave room, and
this schema takes the narrower reading, so that a card that passes here passes there (assumed: the service's own answers
in these cases are not recorded):

- At most 20 bars and 20 points of a line: the schema of stand-alone cards had this limit
  (awsdocs/amazon-sagemaker-developer-guide, doc_source/model-cards.md); the page of packages has it for matrices alone.
- `maxItems` of hyperparameters (100) and of metrics (50) stands inside `items` there, where it has no effect.
- `maxContains` without `contains` has no effect either; CloudFormation's schema has the same numbers as `maxItems`.
- Patterns such as `.{1,255}` are for whole values here, as in botocore's models.
"""

from __future__ import annotations

import json
from typing import Any

# botocore's model of the service, ModelCardContent; in characters.
MAXIMUM_LENGTH = 100_000
# Bars of a chart, and rows and columns of a matrix.
MAXIMUM_ITEMS = 20
_LONGEST_MESSAGE = 200

_NUMBER = {"type": "number"}


def _text(longest: int) -> dict[str, Any]:
    return {"type": "string", "maxLength": longest}


def _name(longest: int) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": longest}


def _list(items: dict[str, Any], most: int | None = None, least: int = 0) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": least, **({} if most is None else {"maxItems": most})}


def _part(properties: dict[str, Any], required: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _texts(longest: int) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": _text(longest)}


def _metric(value: dict[str, Any], x_axis: dict[str, Any], y_axis: dict[str, Any]) -> dict[str, Any]:
    """One kind of metric. `type` itself is held to the kinds in `_METRIC`."""
    properties = {
        "name": _name(255),
        "notes": _text(1024),
        "type": {},
        "value": value,
        "x_axis_name": x_axis,
        "y_axis_name": y_axis,
    }
    return _part(properties, ("name", "type", "value"))


_AXIS = _text(63)
_AXES = _list(_AXIS)
_SIMPLE = _metric({"type": ["number", "string", "boolean"], "maxLength": 63}, _AXIS, _AXIS)
_KINDS = {
    "number": _SIMPLE,
    "string": _SIMPLE,
    "boolean": _SIMPLE,
    "linear_graph": _metric(_list(_list(_NUMBER, 2, 2), MAXIMUM_ITEMS, 1), _AXIS, _AXIS),
    "bar_chart": _metric(_list(_NUMBER, MAXIMUM_ITEMS, 1), _AXES, _AXIS),
    "matrix": _metric(_list(_list(_NUMBER, MAXIMUM_ITEMS, 1), MAXIMUM_ITEMS, 1), _AXES, _AXES),
}
# AWS's schema has `anyOf` here. Chosen by `type`, a problem has the place in the kind that was meant.
_METRIC = {
    "type": "object",
    "properties": {"type": {"enum": list(_KINDS)}},
    "required": ["type"],
    "allOf": [
        {"if": {"properties": {"type": {"const": name}}, "required": ["type"]}, "then": kind}
        for name, kind in _KINDS.items()
    ],
}
_TRAINING_METRICS = _list(_part({"name": _name(255), "notes": _text(1024), "value": _NUMBER}, ("name", "value")), 50)
_HYPERPARAMETERS = _list(_part({"name": _name(255), "value": _name(255)}, ("name", "value")), 100)
_LOCATIONS = _list(_text(1024), 15)
_OBJECTIVE = {"function": {"enum": ["Maximize", "Minimize"]}, "facet": _text(63), "condition": _text(63)}

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    **_part(
        {
            "model_overview": _part({"model_creator": _text(1024), "model_artifact": _LOCATIONS}),
            "intended_uses": _part(
                {
                    "purpose_of_model": _text(2048),
                    "intended_uses": _text(2048),
                    "factors_affecting_model_efficiency": _text(2048),
                    "risk_rating": {"enum": ["High", "Medium", "Low", "Unknown"]},
                    "explanations_for_risk_rating": _text(2048),
                }
            ),
            "business_details": _part(
                {
                    "business_problem": _text(2048),
                    "business_stakeholders": _text(2048),
                    "line_of_business": _text(2048),
                }
            ),
            "training_details": _part(
                {
                    "objective_function": _part({"function": _part(_OBJECTIVE), "notes": _text(1024)}),
                    "training_observations": _text(1024),
                    "training_job_details": _part(
                        {
                            "training_arn": _text(1024),
                            "training_datasets": _LOCATIONS,
                            "training_environment": _part({"container_image": _LOCATIONS}),
                            "training_metrics": _TRAINING_METRICS,
                            "user_provided_training_metrics": _TRAINING_METRICS,
                            "hyper_parameters": _HYPERPARAMETERS,
                            "user_provided_hyper_parameters": _HYPERPARAMETERS,
                        }
                    ),
                }
            ),
            "evaluation_details": _list(
                _part(
                    {
                        "name": _name(63),
                        "evaluation_observation": _text(2096),
                        "evaluation_job_arn": _text(256),
                        "datasets": _list(_text(1024), 10),
                        "metadata": _texts(1024),
                        "metric_groups": _list(
                            _part({"name": _name(63), "metric_data": _list(_METRIC)}, ("name", "metric_data"))
                        ),
                    },
                    ("name",),
                )
            ),
            "additional_information": _part(
                {
                    "ethical_considerations": _text(2048),
                    "caveats_and_recommendations": _text(2048),
                    "custom_details": _texts(1024),
                }
            ),
        }
    ),
}


def problems_of_model_card(content: str) -> list[str]:
    """What the registry would refuse in `ModelCardContent`, one line per problem with its place; empty: nothing."""
    from jsonschema import Draft202012Validator

    problems = []
    if len(content) > MAXIMUM_LENGTH:
        problems.append(f"the model card has {len(content):,} characters, at most {MAXIMUM_LENGTH:,} are accepted")
    try:
        card = json.loads(content, parse_constant=_refuse_constant)
    except ValueError as error:
        return [*problems, f"the model card is not JSON: {error}"]
    errors = sorted(Draft202012Validator(SCHEMA).iter_errors(card), key=lambda error: error.json_path)
    return problems + [f"{error.json_path}: {_message(error)}" for error in errors]


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


def _message(error: Any) -> str:
    if error.validator in ("maxItems", "maxLength"):
        unit = "items" if error.validator == "maxItems" else "characters"
        return f"{len(error.instance):,} {unit}, at most {error.validator_value} are accepted"
    message = str(error.message)
    return message if len(message) <= _LONGEST_MESSAGE else f"{message[:_LONGEST_MESSAGE]} [cut]"
