"""JSON as Athena's SerDes read it."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from pipeline.local.athena.serdes import HIVE_JSON, ION, OPENX, record_batches
from pipeline.local.athena.statements import QueryError
from pipeline.local.athena.types import from_hive


def read(serde: str, kind: str, text: str, **parameters: str) -> list[Any]:
    """The values of a column `a` of the Hive type `kind` in one file."""
    schema = pa.schema([("a", from_hive(kind))])
    named = {key.replace("_", "."): value for key, value in parameters.items()}
    files = [("s3://some-bucket/x.json", text.encode())]
    return [row["a"] for batch in record_batches(serde, named, schema, files) for row in batch.to_pylist()]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("int", "7", 7),
        ("bigint", "-9223372036854775808", -(2**63)),
        ("decimal(20,10)", "2", Decimal(2)),
        ("decimal(20,10)", "2.5", Decimal("2.5")),
        ("double", "2.5e0", 2.5),
        ("string", '"x"', "x"),
        ("boolean", "true", True),
        ("array<int>", "[1, null]", [1, None]),
        ("map<string,int>", '{"k": 1}', [("k", 1)]),
        ("struct<b:int,c:string>", '{"C": "x", "other": 1}', {"b": None, "c": "x"}),
        ("int", "null", None),
    ],
)
def test_ion_takes_a_value_of_the_type_of_its_column(kind: str, value: str, expected: Any) -> None:
    assert read(ION, kind, f'{{"A":\n {value}}}') == [expected]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int", '"7"'),
        ("int", "true"),
        ("int", "7.0"),
        ("int", "2147483648"),
        ("double", "2.5"),
        ("double", "2"),
        ("decimal(20,10)", "5e-05"),
        ("decimal(4,2)", "2.555"),
        ("decimal(4,2)", "255.5"),
        ("string", "7"),
        ("boolean", "1"),
        ("int", "NaN"),
        ("array<int>", '["x"]'),
        ("map<string,int>", "[]"),
        ("struct<b:int>", '{"b": "x"}'),
        ("timestamp", '"2026-01-01T00:00:00"'),
    ],
)
def test_ion_fails_the_query_on_a_value_of_another_type(kind: str, value: str) -> None:
    with pytest.raises(QueryError, match=r"^HIVE_BAD_DATA: Error parsing s3://some-bucket/x.json: field 'a'"):
        read(ION, kind, f'{{"a": {value}}}')


@pytest.mark.parametrize("text", ['{"a": 1', "[1]", '"x"', "\ufffe{", '{"a": 1}, {"a": 2}'])
def test_ion_fails_the_query_on_text_that_is_no_struct(text: str) -> None:
    with pytest.raises(QueryError, match=r"^HIVE_BAD_DATA: .*s3://some-bucket/x.json"):
        read(ION, "int", text)


def test_ion_reads_documents_one_after_another_wherever_lines_end() -> None:
    assert read(ION, "int", '\n{"a":\n1} {"a": 2}\n\n') == [1, 2]
    assert read(ION, "int", "") == []


@pytest.mark.parametrize("serde", [OPENX, HIVE_JSON])
def test_a_serde_of_lines_takes_a_document_a_line(serde: str) -> None:
    assert read(serde, "double", '{"a": 1.5}\n\n{"a": 2}\n{"b": 3}') == [1.5, 2.0, None]
    with pytest.raises(QueryError, match=r"^HIVE_CURSOR_ERROR: Row is not a valid JSON Object .*line 1"):
        read(serde, "int", json.dumps({"a": 1}, indent=4))


def test_only_openx_ignores_malformed_lines_when_it_is_told_to() -> None:
    text = '{"a": 1}\n{"a":\n{"a": 3}'
    assert read(OPENX, "int", text, ignore_malformed_json="true") == [1, None, 3]
    with pytest.raises(QueryError):
        read(HIVE_JSON, "int", text, ignore_malformed_json="true")
