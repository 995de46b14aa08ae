"""The files of a finished query at its output location, as written and as read by GetQueryResults.

https://docs.aws.amazon.com/athena/latest/ug/querying-finding-output-files.html
"""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, BinaryIO

import pyarrow as pa

from pipeline.local.athena.types import column_info

# Bytes of a result in memory; a larger one is in a temporary file until its upload.
IN_MEMORY = 16 * 2**20
_CELL = re.compile(r'(?:"((?:[^"]|"")*)")?(,|\n)')


def write_csv(reader: pa.RecordBatchReader) -> tuple[BinaryIO, list[dict[str, Any]]]:
    """The rows as Athena's CSV, rewound, and the columns' ColumnInfo. The caller closes the file.

    Every value is in quotes; a NULL is an empty cell without quotes.
    """
    columns = [column_info(field.name, field.type) for field in reader.schema]
    file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115  # the caller closes it
    file.write(_line([field.name for field in reader.schema]))
    for batch in reader:
        arrays = [column.to_pylist() for column in batch.columns]
        for row in zip(*arrays, strict=True):
            file.write(_line([render(value, field.type) for value, field in zip(row, reader.schema, strict=True)]))
    file.seek(0)
    return file, columns  # type: ignore[return-value]  # a SpooledTemporaryFile is a BinaryIO in all but name


def _line(values: list[str | None]) -> bytes:
    cells = ["" if value is None else '"' + value.replace('"', '""') + '"' for value in values]
    return (",".join(cells) + "\n").encode()


def read_csv(content: bytes) -> Iterator[list[str | None]]:
    """The lines of a file of `write_csv`, header first."""
    row: list[str | None] = []
    for match in _CELL.finditer(content.decode()):
        value = match[1]
        row.append(None if value is None else value.replace('""', '"'))
        if match[2] == "\n":
            yield row
            row = []


def read_lines(content: bytes) -> Iterator[list[str | None]]:
    """The lines of a DDL or utility statement's text result, with one cell per line."""
    for line in content.decode().splitlines():
        yield [line]


def metadata(columns: list[dict[str, Any]]) -> bytes:
    """The `.metadata` file of a result. Athena's own is an unpublished binary format; this is JSON."""
    return json.dumps({"ColumnInfo": columns}).encode()


def render(value: Any, arrow: pa.DataType) -> str | None:
    """A value in the form of Athena's CSV results: `[a, b]`, `{k=v}`, `true`, `1.0`; NULL is None."""
    if value is None:
        return None
    if pa.types.is_map(arrow):
        pairs = (f"{_inner(key, arrow.key_type)}={_inner(item, arrow.item_type)}" for key, item in value)
        return "{" + ", ".join(pairs) + "}"
    if pa.types.is_list(arrow):
        return "[" + ", ".join(_inner(item, arrow.value_type) for item in value) + "]"
    if pa.types.is_struct(arrow):
        return "{" + ", ".join(f"{field.name}={_inner(value[field.name], field.type)}" for field in arrow) + "}"
    return _scalar(value)


def _scalar(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case float():
            return _java_double(value)
        case Decimal():
            return f"{value:f}"
        case datetime():
            return value.replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds")
        case bytes():
            return value.hex(" ")
    return str(value)


def _inner(value: Any, arrow: pa.DataType) -> str:
    rendered = render(value, arrow)
    return "null" if rendered is None else rendered


def _java_double(value: float) -> str:
    """Java's Double.toString: plain between 1e-3 and 1e7, otherwise with an exponent."""
    if not math.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        text = f"{Decimal(repr(value)):f}"
        return text if "." in text else text + ".0"
    digits = Decimal(repr(value)).normalize()
    sign, figures, _ = digits.as_tuple()
    mantissa = f"{figures[0]}.{''.join(map(str, figures[1:])) or '0'}"
    return f"{'-' if sign else ''}{mantissa}E{digits.adjusted()}"
