"""StartPipelineExecution's parameters: what AWS refuses is refused, whatever Python would read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.local.context import ServiceError
from pipeline.local.sagemaker.parameters import given_values, refuse_constant, typed_values

DECLARED: list[dict[str, Any]] = [
    {"Name": "Epochs", "Type": "Integer", "DefaultValue": 30},
    {"Name": "Limit", "Type": "Float", "DefaultValue": 1},
    {"Name": "Version", "Type": "String", "DefaultValue": "1"},
    {"Name": "Kind", "Type": "Integer", "DefaultValue": 1, "EnumValues": [1, 2]},
]


def values(**given: str) -> dict[str, Any]:
    return typed_values(DECLARED, given)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("Epochs", "1_000"), ("Epochs", "1.5"), ("Epochs", " 3"), ("Epochs", "٣"), ("Epochs", "")),
        *(("Limit", "nan"), ("Limit", "-inf"), ("Limit", "1_0.5"), ("Limit", "0x1p3"), ("Kind", "3")),
    ],
)
def test_a_value_that_is_not_of_its_type_or_list_is_refused(name: str, value: str) -> None:
    with pytest.raises(ServiceError, match=name):
        values(**{name: value})


def test_values_have_the_types_of_the_definition() -> None:
    assert values(Epochs="-7", Limit="1e-3", Version="") == {"Epochs": -7, "Limit": 0.001, "Version": "", "Kind": 1}
    assert values()["Limit"] == 1.0


def test_a_parameter_that_is_given_twice_is_refused() -> None:
    with pytest.raises(ServiceError, match=r"Parameter \[Epochs\] is given twice"):
        given_values(
            [{"Name": "Epochs", "Value": "3"}, {"Name": "Limit", "Value": "1"}, {"Name": "Epochs", "Value": "3"}]
        )


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_a_definition_with_a_number_that_json_has_not_is_refused(constant: str) -> None:
    with pytest.raises(ValueError, match=f"{constant} is no JSON number"):
        json.loads(f'{{"DefaultValue": {constant}}}', parse_constant=refuse_constant)
