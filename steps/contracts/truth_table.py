"""True counts that arrive after the answers: tables in Parquet or CSV, which the monitor and `check` read by rows."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable, Iterator
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.contracts.text_tables import encoding_of, separator

COLUMNS = ("image_id", "quantity")
_NEEDS = " and ".join(COLUMNS)
_SUFFIXES = (".parquet", ".csv")
# Rows of a Parquet file in memory at a time, and characters of a CSV file's first line.
_ROWS, _LONGEST_HEADER = 500_000, 65_536
_BEGINNING = 4
# A whole number, also as pandas writes a column with gaps: 2.0. No bin has a count of ten digits, and Python converts
# no text of more than 4,300:
# https://docs.python.org/3/library/stdtypes.html#integer-string-conversion-length-limitation
_WHOLE = re.compile(r"(-?[0-9]{1,9})(?:\.0*)?")


class TrueCount(NamedTuple):
    """The true count of a photo, and the place in its table."""

    image_id: str
    quantity: int
    line: str


def is_table(location: S3Uri) -> bool:
    """Whether a location is the name of a single table, and no prefix."""
    return location.key.endswith(_SUFFIXES)


def listed_prefix(location: S3Uri) -> S3Uri:
    """The prefix to list for a location: a table itself, or a folder with its slash, and no other folder's."""
    if is_table(location) or not location.key:
        return location
    return S3Uri(location.bucket, f"{location.key.rstrip('/')}/")


def tables(location: S3Uri, keys: Iterable[str]) -> list[S3Uri]:
    """The tables among the keys below `listed_prefix`; none is no error, since true counts arrive later."""
    named = {location.key} if is_table(location) else None
    return [S3Uri(location.bucket, key) for key in keys if key.endswith(_SUFFIXES) and (named is None or key in named)]


def rows(file: BinaryIO, name: str, wanted: Collection[str] | None = None) -> Iterator[TrueCount]:
    """The true counts of one table, or of those ids that are `wanted`; every row is checked.

    The ids are text: as numbers, "00001" and "1" would be one id. A row without a quantity, whose photo nobody has
    counted yet, is passed over. Raises StepError with `name` for a table without the columns, an id that is no text,
    and a quantity that is no whole number from 0 on.
    """
    try:
        counts = _csv(file, name) if name.endswith(".csv") else _parquet(file, name, wanted)
        for count in counts:
            if count.quantity < 0:
                raise StepError(f"{name}: {count.line} has quantity {count.quantity}; a count is 0 or more")
            if wanted is None or count.image_id in wanted:
                yield count
    except (pa.ArrowException, KeyError, OSError) as error:
        raise StepError(f"{name}: no columns {_NEEDS} can be read from it: {error}") from error


def _csv(file: BinaryIO, name: str) -> Iterator[TrueCount]:
    beginning = file.read(_BEGINNING)
    file.seek(0)
    text = io.TextIOWrapper(file, encoding_of(beginning), newline="")
    try:
        yield from _csv_rows(text, name)
    except UnicodeDecodeError as error:
        raise StepError(f"{name}: it is neither UTF-8 nor UTF-16; save it as CSV in UTF-8") from error
    finally:
        text.detach()


def _csv_rows(text: io.TextIOWrapper, name: str) -> Iterator[TrueCount]:
    first = text.readline(_LONGEST_HEADER)
    mark = separator(first, lambda header: set(COLUMNS) <= set(header), _NEEDS, name)
    header = [cell.strip() for cell in next(csv.reader([first], delimiter=mark))]
    image_id, quantity = (header.index(column) for column in COLUMNS)
    reader = csv.reader(text, delimiter=mark)
    try:
        for row in reader:
            if not any(row):
                continue
            line = f"line {reader.line_num + 1}"
            if len(row) <= max(image_id, quantity):
                raise StepError(f"{name}: {line} has {len(row)} columns, the first line {len(header)}")
            if cell := row[quantity].strip():
                yield TrueCount(row[image_id].strip(), _whole(cell, f"{name}: {line}"), line)
    except csv.Error as error:
        raise StepError(f"{name}: line {reader.line_num + 1}: {error}") from error


def _whole(cell: str, place: str) -> int:
    match = _WHOLE.fullmatch(cell)
    if match is None:
        raise StepError(f"{place} has quantity {cell[:40]!r}; a count is a whole number of at most nine digits")
    return int(match[1])


def _parquet(file: BinaryIO, name: str, wanted: Collection[str] | None) -> Iterator[TrueCount]:
    """As `rows`; rows of other ids are passed over before they become Python objects, except those with an error."""
    table = pq.ParquetFile(file)
    if missing := set(COLUMNS) - set(table.schema_arrow.names):
        names = ", ".join(table.schema_arrow.names)
        raise StepError(f"{name}: the columns are {names}; it needs {_NEEDS}, and lacks {', '.join(sorted(missing))}")
    ids_wanted = None if wanted is None else pa.array(list(wanted), pa.string())
    first = 1
    for batch in table.iter_batches(_ROWS, columns=list(COLUMNS)):
        ids, quantities = _text(batch["image_id"], name), _integers(batch["quantity"], name)
        chosen = pc.and_(pc.is_valid(ids), pc.is_valid(quantities))
        if ids_wanted is not None:
            chosen = pc.and_(chosen, pc.or_(pc.is_in(ids, value_set=ids_wanted), pc.less(quantities, 0)))
        places = pc.indices_nonzero(pc.fill_null(chosen, False))
        matched = zip(
            places.to_pylist(), ids.take(places).to_pylist(), quantities.take(places).to_pylist(), strict=True
        )
        for place, image_id, quantity in matched:
            yield TrueCount(image_id, quantity, f"row {first + place}")
        first += len(ids)


def _text(column: pa.Array, name: str) -> pa.Array:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise StepError(f"{name}: image_id must be a string column, it is {kind}")
    return column.cast(kind).cast(pa.string())


def _integers(column: pa.Array, name: str) -> pa.Array:
    """Whole numbers; pandas stores a column with gaps as floating-point numbers, and its gaps as NaN."""
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_null(column.type)):
        raise StepError(f"{name}: quantity must be a column of whole numbers, it is {column.type}")
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise StepError(f"{name}: quantity has a value that is no whole number: {error}") from error
