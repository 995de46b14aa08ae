"""Column types: conversions between Arrow's, Hive's (DDL and Glue) and Athena's (query results).

https://docs.aws.amazon.com/athena/latest/ug/data-types.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.local.athena.statements import QueryError, unsupported


@dataclass(frozen=True)
class _Scalar:
    """A type: its Arrow type, its name in Hive's DDL, and its name and precision in a query's result."""

    arrow: pa.DataType
    hive: str
    athena: str
    precision: int


_SCALARS = (
    _Scalar(pa.bool_(), "boolean", "boolean", 0),
    _Scalar(pa.int8(), "tinyint", "tinyint", 3),
    _Scalar(pa.int16(), "smallint", "smallint", 5),
    _Scalar(pa.int32(), "int", "integer", 10),
    _Scalar(pa.int64(), "bigint", "bigint", 19),
    _Scalar(pa.float32(), "float", "float", 17),
    _Scalar(pa.float64(), "double", "double", 17),
    _Scalar(pa.string(), "string", "varchar", 2147483647),
    _Scalar(pa.binary(), "binary", "varbinary", 1073741824),
    _Scalar(pa.date32(), "date", "date", 0),
    _Scalar(pa.timestamp("us"), "timestamp", "timestamp", 3),
)
_BY_HIVE = {scalar.hive: scalar.arrow for scalar in _SCALARS} | {"integer": pa.int32(), "real": pa.float32()}
_BY_ARROW = {scalar.arrow: scalar for scalar in _SCALARS}
_TOKEN = re.compile(r"\s*([A-Za-z0-9_]+|[<>(),:])")


def from_hive(text: str) -> pa.DataType:
    """The Arrow type of a Hive type such as `map<string,struct<a:int>>`. Raises QueryError for an unknown one."""
    tokens = _TOKEN.findall(text.lower())
    if "".join(tokens) != re.sub(r"\s", "", text.lower()):
        raise unsupported(f"column type {text!r}")
    parser = _HiveTypeParser(tokens, text)
    arrow = parser.type()
    if parser.tokens:
        raise unsupported(f"column type {text!r}")
    return arrow


class _HiveTypeParser:
    """A recursive descent parser of Hive's type grammar."""

    def __init__(self, tokens: list[str], text: str) -> None:
        self.tokens = tokens
        self.text = text

    def take(self, expected: str | None = None) -> str:
        if not self.tokens or (expected is not None and self.tokens[0] != expected):
            raise unsupported(f"column type {self.text!r}")
        return self.tokens.pop(0)

    def type(self) -> pa.DataType:
        name = self.take()
        match name:
            case "array":
                return pa.list_(*self.parameters("<"))
            case "map":
                return pa.map_(*self.parameters("<", ","))
            case "struct":
                return pa.struct(self.fields())
            case "decimal":
                return pa.decimal128(*self.numbers(default=(10, 0)))
            case "varchar" | "char":
                self.numbers(default=(0, 0))
                return pa.string()
        if name not in _BY_HIVE:
            raise unsupported(f"column type {self.text!r}")
        return _BY_HIVE[name]

    def parameters(self, *separators: str) -> list[pa.DataType]:
        """The types that follow the separators, up to the closing bracket."""
        types = []
        for separator in separators:
            self.take(separator)
            types.append(self.type())
        self.take(">")
        return types

    def fields(self) -> list[pa.Field]:
        fields = []
        separator = self.take("<")
        while separator != ">":
            name = self.take()
            self.take(":")
            fields.append(pa.field(name, self.type()))
            separator = self.take()
        return fields

    def numbers(self, default: tuple[int, int]) -> tuple[int, int]:
        if not self.tokens or self.tokens[0] != "(":
            return default
        self.take("(")
        first, second = int(self.take()), default[1]
        if self.take() == ",":
            second = int(self.take())
            self.take(")")
        return first, second


def to_hive(arrow: pa.DataType) -> str:
    """The Hive type of a column in Glue."""
    if pa.types.is_decimal(arrow):
        return f"decimal({arrow.precision},{arrow.scale})"
    if pa.types.is_map(arrow):
        return f"map<{to_hive(arrow.key_type)},{to_hive(arrow.item_type)}>"
    if pa.types.is_struct(arrow):
        return f"struct<{','.join(f'{field.name}:{to_hive(field.type)}' for field in arrow)}>"
    if pa.types.is_list(arrow):
        return f"array<{to_hive(arrow.value_type)}>"
    return _scalar(arrow).hive


def column_info(name: str, arrow: pa.DataType) -> dict[str, Any]:
    """`ColumnInfo` of GetQueryResults."""
    precision, scale = 0, 0
    if pa.types.is_decimal(arrow):
        kind, precision, scale = "decimal", arrow.precision, arrow.scale
    elif pa.types.is_map(arrow):
        kind = "map"
    elif pa.types.is_struct(arrow):
        kind = "row"
    elif pa.types.is_list(arrow):
        kind = "array"
    else:
        scalar = _scalar(arrow)
        kind, precision = scalar.athena, scalar.precision
    return {
        "CatalogName": "hive",
        "SchemaName": "",
        "TableName": "",
        "Name": name,
        "Label": name,
        "Type": kind,
        "Precision": precision,
        "Scale": scale,
        "Nullable": "UNKNOWN",
        "CaseSensitive": kind == "varchar",
    }


def _scalar(arrow: pa.DataType) -> _Scalar:
    if pa.types.is_timestamp(arrow):
        arrow = pa.timestamp("us")
    if arrow not in _BY_ARROW:
        raise QueryError(f"NOT_SUPPORTED: a result column of type {arrow} is not supported by the local Athena")
    return _BY_ARROW[arrow]
