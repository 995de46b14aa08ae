"""Athena's SerDes for JSON: strict about types and, except for Ion's, one document per line.

DuckDB's own reader accepts pretty-printed JSON and casts "5" to 5: a table that it reads may still fail on AWS. The
SerDes follow:
https://docs.aws.amazon.com/athena/latest/ug/ion-serde.html
https://docs.aws.amazon.com/athena/latest/ug/openx-json-serde.html
https://docs.aws.amazon.com/athena/latest/ug/hive-json-serde.html
https://github.com/amazon-ion/ion-hive-serde/blob/master/docs/type-mapping.md
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from pipeline.local.athena.statements import QueryError
from pipeline.local.athena.types import to_hive

ION = "com.amazon.ionhiveserde.IonHiveSerDe"
OPENX = "org.openx.data.jsonserde.JsonSerDe"
HIVE_JSON = "org.apache.hive.hcatalog.data.JsonSerDe"
PARQUET = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
SUPPORTED = (ION, OPENX, HIVE_JSON, PARQUET)

_NOT_BLANK = re.compile(r"\S")
# Rows per Arrow batch.
BATCH = 4096
Decoder = Callable[[Any], Any]


class Symbol(str):
    """A bare word, which JSON does not have: Ion reads `NaN` as a symbol."""

    __slots__ = ()


class _MismatchError(Exception):
    """A value does not fit the type of its column."""


def record_batches(
    serde: str, parameters: Mapping[str, str], schema: pa.Schema, files: Iterable[tuple[str, bytes]]
) -> Iterator[pa.RecordBatch]:
    """The rows of `files` ((URI, bytes) each) as batches of `schema` and a last column `$path`.

    Raises QueryError for malformed text and for a value of another type than its column's: a SerDe fails the query.
    """
    decode = _row_decoder(schema, ion=serde == ION)
    full = schema.append(pa.field("$path", pa.string()))
    rows: list[list[Any]] = []
    for path, data in files:
        for document in _documents(serde, parameters, path, data):
            try:
                rows.append([*decode(document), path])
            except _MismatchError as mismatch:
                raise QueryError(f"HIVE_BAD_DATA: Error parsing {path}: {mismatch}") from None
            if len(rows) == BATCH:
                yield _batch(rows, full)
                rows = []
    if rows:
        yield _batch(rows, full)


def _batch(rows: list[list[Any]], schema: pa.Schema) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


# ---------------------------------------------------------------------------------------------- text to documents


def _number(text: str) -> Decimal | float:
    # Ion reads 1.2 as a decimal and 1.2e0 as a float: https://amazon-ion.github.io/ion-docs/docs/spec.html
    return float(text) if "e" in text.lower() else Decimal(text)


_JSON = json.JSONDecoder(parse_float=_number, parse_constant=Symbol)


def _documents(serde: str, parameters: Mapping[str, str], path: str, data: bytes) -> Iterator[dict[str, Any]]:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise QueryError(f"HIVE_BAD_DATA: Error reading {path}: {error}") from None
    if serde == ION:
        yield from _ion_documents(path, text)
    else:
        ignore = parameters.get("ignore.malformed.json", "false").lower() == "true" and serde == OPENX
        yield from _line_documents(path, text, ignore_malformed=ignore)


def _ion_documents(path: str, text: str) -> Iterator[dict[str, Any]]:
    """Top-level values one after another, with any line ends. Only Ion's JSON subset is read."""
    position = 0
    while start := _NOT_BLANK.search(text, position):
        try:
            document, position = _JSON.raw_decode(text, start.start())
        except json.JSONDecodeError as error:
            raise QueryError(f"HIVE_BAD_DATA: Error reading Ion in {path}: {error}") from None
        if not isinstance(document, dict):
            raise QueryError(f"HIVE_BAD_DATA: Error reading Ion in {path}: the top-level value is not a struct")
        yield document


def _line_documents(path: str, text: str, *, ignore_malformed: bool) -> Iterator[dict[str, Any]]:
    """One document per line, which excludes pretty-printed JSON."""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            document = _JSON.decode(line)
            if not isinstance(document, dict):
                raise ValueError("not an object")
        except ValueError as error:
            if not ignore_malformed:
                message = f"Row is not a valid JSON Object - {error} ({path}, line {number})"
                raise QueryError(f"HIVE_CURSOR_ERROR: {message}") from None
            # The OpenX SerDe returns a row of nulls for an ignored line.
            document = {}
        yield document


# ---------------------------------------------------------------------------------------------- values to columns


def _row_decoder(schema: pa.Schema, *, ion: bool) -> Callable[[dict[str, Any]], list[Any]]:
    columns = {field.name.lower(): (place, _decoder(field.type, ion=ion)) for place, field in enumerate(schema)}

    def decode(document: dict[str, Any]) -> list[Any]:
        row: list[Any] = [None] * len(columns)
        for key, value in document.items():
            # By default, field names match without regard to case in all three SerDes.
            column = columns.get(key.lower())
            if column is not None and value is not None:
                place, decoder = column
                try:
                    row[place] = decoder(value)
                except _MismatchError as mismatch:
                    raise _MismatchError(f"field {key!r}: {mismatch}") from None
        return row

    return decode


def _decoder(arrow: pa.DataType, *, ion: bool) -> Decoder:
    if pa.types.is_struct(arrow):
        fields = _row_decoder(pa.schema(list(arrow)), ion=ion)
        names = [field.name for field in arrow]
        return _typed(arrow, (dict,), lambda value: dict(zip(names, fields(value), strict=True)))
    if pa.types.is_map(arrow):
        item = _nullable(_decoder(arrow.item_type, ion=ion))
        return _typed(arrow, (dict,), lambda value: [(key, item(inner)) for key, inner in value.items()])
    if pa.types.is_list(arrow):
        element = _nullable(_decoder(arrow.value_type, ion=ion))
        return _typed(arrow, (list,), lambda value: [element(inner) for inner in value])
    return _scalar_decoder(arrow, ion=ion)


def _scalar_decoder(arrow: pa.DataType, *, ion: bool) -> Decoder:
    # JSON has no value that Ion reads as a timestamp or a blob.
    kinds: tuple[type, ...] = ()
    convert: Decoder = _unchanged
    if pa.types.is_boolean(arrow):
        kinds = (bool,)
    elif pa.types.is_integer(arrow):
        kinds, convert = (int,), _integer(arrow)
    elif pa.types.is_decimal(arrow):
        kinds, convert = (int, Decimal), _decimal(arrow)
    elif pa.types.is_floating(arrow):
        # With Ion a double column accepts floats only, and 1.2 is a decimal.
        kinds, convert = ((float,) if ion else (int, float, Decimal)), float
    elif pa.types.is_string(arrow):
        kinds, convert = ((str,) if ion else (str, bool, int, float, Decimal, dict, list)), _text
    elif pa.types.is_date(arrow) and not ion:
        kinds, convert = (str,), _parsed(arrow, date.fromisoformat)
    elif pa.types.is_timestamp(arrow) and not ion:
        kinds, convert = (str,), _parsed(arrow, datetime.fromisoformat)
    return _typed(arrow, kinds, convert)


def _unchanged(value: Any) -> Any:
    return value


def _typed(arrow: pa.DataType, kinds: tuple[type, ...], convert: Decoder) -> Decoder:
    def decode(value: Any) -> Any:
        # In Python a boolean is an integer, but not in the SerDes.
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise _MismatchError(f"cannot coerce {_describe(value)} to {to_hive(arrow)}")
        return convert(value)

    return decode


def _nullable(decode: Decoder) -> Decoder:
    return lambda value: None if value is None else decode(value)


def _integer(arrow: pa.DataType) -> Decoder:
    limit = 2 ** (arrow.bit_width - 1)

    def convert(value: int) -> int:
        # `ion.fail_on_overflow` is true by default.
        if not -limit <= value < limit:
            raise _MismatchError(f"{value} overflows {to_hive(arrow)}")
        return value

    return convert


def _decimal(arrow: pa.DataType) -> Decoder:
    def convert(value: int | Decimal) -> Decimal:
        number = Decimal(value)
        exponent = number.normalize().as_tuple().exponent
        whole_digits = number.adjusted() + 1 if number else 0
        if not isinstance(exponent, int) or -exponent > arrow.scale or whole_digits > arrow.precision - arrow.scale:
            raise _MismatchError(f"{value} does not fit {to_hive(arrow)}")
        return number

    return convert


def _parsed(arrow: pa.DataType, parse: Callable[[str], Any]) -> Decoder:
    def convert(value: str) -> Any:
        try:
            return parse(value)
        except ValueError:
            raise _MismatchError(f"cannot coerce {_describe(value)} to {to_hive(arrow)}") from None

    return convert


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _describe(value: Any) -> str:
    kinds = {bool: "boolean", Symbol: "symbol", str: "string", dict: "struct", list: "list", float: "float"}
    kind = kinds.get(type(value), type(value).__name__.lower())
    return f"a {kind}" if isinstance(value, dict | list) else f"the {kind} {str(value)[:40]!r}"
