"""Types and values in a result."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from pipeline.local.athena.results import read_csv, render, write_csv
from pipeline.local.athena.statements import QueryError
from pipeline.local.athena.types import column_info, from_hive, to_hive


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("double", 1.0, "1.0"),
        ("double", 0.001, "0.001"),
        ("double", 0.0001, "1.0E-4"),
        ("double", -12345678.9, "-1.23456789E7"),
        ("double", 1e22, "1.0E22"),
        ("double", float("nan"), "NaN"),
        ("double", float("-inf"), "-Infinity"),
        ("boolean", True, "true"),
        ("decimal(20,10)", Decimal("1E-10"), "0.0000000001"),
        ("timestamp", datetime(2026, 1, 2, 3, 4, 5, 678000), "2026-01-02 03:04:05.678"),
        ("binary", b"\x01\xff", "01 ff"),
        ("array<array<int>>", [[1, None], None], "[[1, null], null]"),
        ("map<string,struct<a:int>>", [("k", {"a": 1}), ("l", None)], "{k={a=1}, l=null}"),
        ("int", None, None),
    ],
)
def test_values_are_written_as_athena_writes_them(kind: str, value: Any, text: str | None) -> None:
    assert render(value, from_hive(kind)) == text


def test_a_csv_comes_back_as_it_was_with_null_and_empty_apart() -> None:
    rows = [[None, ""], ['a "b"', "c,d"], ["e\nf", "\r\n"]]
    table = pa.table({name: [row[place] for row in rows] for place, name in enumerate(("x", "y"))})
    file, columns = write_csv(table.to_reader())
    with file:
        assert list(read_csv(file.read())) == [["x", "y"], *rows]
    assert [column["Type"] for column in columns] == ["varchar", "varchar"]


@pytest.mark.parametrize(
    "kind",
    [
        "tinyint",
        "bigint",
        "float",
        "date",
        "decimal(38,18)",
        "array<string>",
        "map<string,struct<a:int,b:array<double>>>",
    ],
)
def test_hive_types_come_back_as_they_were(kind: str) -> None:
    assert to_hive(from_hive(kind)) == kind


@pytest.mark.parametrize("kind", ["json", "map<string>", "array<int", "int>", "struct<a>", "uniontype<int,string>", ""])
def test_another_type_is_refused(kind: str) -> None:
    with pytest.raises(QueryError, match="SYNTAX_ERROR: column type"):
        from_hive(kind)


def test_columns_have_athenas_names_for_types() -> None:
    info = column_info("q", from_hive("decimal(20,10)"))
    assert (info["Name"], info["Type"], info["Precision"], info["Scale"]) == ("q", "decimal", 20, 10)
    assert column_info("q", from_hive("int"))["Type"] == "integer"
    assert column_info("q", from_hive("struct<a:int>"))["Type"] == "row"
