"""One metadata file, read strictly."""

from __future__ import annotations

import json
from typing import Any

import pytest

from steps.contracts.bin_metadata import MalformedError
from steps.query.metadata import Item, Measure, Metadata, parse

NOTHING = Measure(None, None)


def quantity(text: str) -> Metadata:
    return parse(f'{{"EXPECTED_QUANTITY": {text}, "BIN_FCSKU_DATA": {{}}}}'.encode())


@pytest.mark.parametrize(("text", "value"), [("3", 3.0), ("0", 0.0), ("-1", -1.0), ("2.5", 2.5), ("1e0", 1.0)])
def test_a_finite_number_is_kept_as_it_stands(text: str, value: float) -> None:
    assert quantity(text) == Metadata(value, "number", [])


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("null", "null"),
        ("true", "boolean"),
        ('"3"', "string"),
        ("NaN", "nan"),
        ("-Infinity", "nan"),
        ("1" + "0" * 400, "nan"),
        ("[3]", "composite"),
        ("{}", "composite"),
    ],
)
def test_other_types_are_named_and_have_no_value(text: str, kind: str) -> None:
    assert quantity(text) == Metadata(None, kind, [])


def test_an_absent_quantity_is_not_a_null_one() -> None:
    assert parse(b"{}") == Metadata(None, "missing", None)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b'{"a": 1} {"a": 2}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"BIN_FCSKU_DATA": [1]}',
        b'{"a": "\\ud800"}',
    ],
)
def test_what_is_no_document_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse(data)


def test_items_keep_their_keys_and_lose_values_of_another_type() -> None:
    items: dict[str, Any] = {"K1": {"asin": "A1", "name": None, "quantity": 2, "weight": {"value": 5e-05}}, "K2": None}
    items["K3"] = {"asin": 7, "name": "n", "quantity": True}
    assert parse(json.dumps({"bin_fcsku_data": items}).encode()).items == [
        Item("K1", "A1", None, 2, (Measure(None, 5e-05), NOTHING, NOTHING, NOTHING)),
        Item("K2", None, None, None, (NOTHING,) * 4),
        Item("K3", None, "n", None, (NOTHING,) * 4),
    ]


def measures(**values: Any) -> tuple[Measure, ...]:
    [item] = parse(json.dumps({"BIN_FCSKU_DATA": {"A": values}}).encode()).items or []
    return item.measures


def test_measures_are_as_in_the_file_without_regard_to_the_case_of_keys() -> None:
    sizes = {name: {"Unit": "IN", "VALUE": value} for name, value in (("LENGTH", 2), ("width", -1.5), ("height", 0))}
    assert measures(weight={"unit": "pounds", "value": 0.4}, **sizes) == (
        Measure("pounds", 0.4),
        Measure("IN", 2.0),
        Measure("IN", -1.5),
        Measure("IN", 0.0),
    )


@pytest.mark.parametrize("value", ["3", True, None, float("nan"), float("-inf"), 10**400, [1], {}])
def test_a_measure_that_is_no_finite_number_has_no_value(value: Any) -> None:
    assert measures(weight={"unit": "pounds", "value": value})[0] == Measure("pounds", None)


@pytest.mark.parametrize("weight", [None, 0.4, "0.4 pounds", [0.4], {}, {"unit": 7}])
def test_a_measure_that_is_no_pair_of_unit_and_value_is_missing(weight: Any) -> None:
    assert measures(weight=weight)[0] == NOTHING


@pytest.mark.parametrize(
    ("text", "group"), [('"a"', "a"), ('" a b "', "a b"), ('""', None), ('"  "', None), ("null", None), ("17", "17")]
)
def test_a_group_is_a_name_or_a_number(text: str, group: str | None) -> None:
    assert parse(f'{{"EXPECTED_QUANTITY": 1, "group": {text}}}'.encode()).group == group


@pytest.mark.parametrize("text", ["true", "1.5", "[]", '{"a": 1}'])
def test_another_group_is_malformed(text: str) -> None:
    with pytest.raises(MalformedError, match="group is not a string"):
        parse(f'{{"EXPECTED_QUANTITY": 1, "group": {text}}}'.encode())
