"""A given split: image ids with their splits in Parquet or CSV, which ShardImages and `check` read."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from steps.contracts.dataset import SPLITS
from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.contracts.text_tables import decoded, separator

COLUMNS = ("image_id", "split")
_SUFFIXES = (".parquet", ".csv")
_SCHEMA = pa.schema([pa.field(name, pa.string()) for name in COLUMNS])


def files(location: S3Uri, listed: Iterable[tuple[str, int]]) -> list[S3Uri]:
    """The objects with the split: `location` itself, or every `.parquet` and `.csv` below it.

    `listed` are the key and the size of each object whose key begins as the location does. Raises StepError if
    there is none.
    """
    keys = [key for key, size in listed if size and key.endswith(_SUFFIXES)]
    if location.key in keys:
        keys = [location.key]  # not other objects whose names begin with it
    if not keys:
        raise StepError(f"{location}: no .parquet or .csv object with the split")
    return [S3Uri(location.bucket, key) for key in keys]


def parse(data: bytes, name: str) -> pa.Table:
    """The columns image_id and split of one file as strings: as numbers, "00001" and "1" would be one id.

    Raises StepError with `name` if a column is missing or no text, or a split is not train, validation or test.
    """
    try:
        table = _csv(data, name) if name.endswith(".csv") else _parquet(data, name)
    except (pa.ArrowException, KeyError) as error:
        raise StepError(f"{name}: no columns image_id and split can be read from it: {error}") from error
    wrong = table.filter(pc.invert(pc.is_in(table["split"], value_set=pa.array(SPLITS))))
    if len(wrong):
        image_id, split = (wrong[column][0].as_py() for column in COLUMNS)
        raise StepError(f"{name}: image {image_id!r} has split {split!r}; use {', '.join(SPLITS)}")
    return table


def combined(tables: Sequence[pa.Table], name: str) -> pa.Table:
    """The rows of all files, each id once. Raises StepError with `name` if an id has two splits."""
    pairs = pa.concat_tables(tables).group_by(list(COLUMNS)).aggregate([])
    again = pairs.group_by("image_id").aggregate([("split", "list"), ("split", "count")])
    again = again.filter(pc.greater(again["split_count"], 1))
    if len(again):
        image_id, splits = again["image_id"][0].as_py(), sorted(again["split_list"][0].as_py())
        raise StepError(f"{name}: image {image_id!r} has two splits, {' and '.join(splits)}")
    return pairs


def _csv(data: bytes, name: str) -> pa.Table:
    text = decoded(data, name)
    mark = separator(text, lambda header: set(COLUMNS) <= set(header), "image_id and split", name)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
    header = [cell.strip() for cell in next(reader)]
    places = [header.index(column) for column in COLUMNS]
    columns: tuple[list[str], list[str]] = ([], [])
    try:
        for row in reader:
            if not any(row):
                continue
            if len(row) <= max(places):
                raise StepError(f"{name}: line {reader.line_num} has {len(row)} columns, the first line {len(header)}")
            for column, place in zip(columns, places, strict=True):
                column.append(row[place].strip())
    except csv.Error as error:
        raise StepError(f"{name}: line {reader.line_num}: {error}") from error
    return pa.table([pa.array(column, pa.string()) for column in columns], _SCHEMA)


def _parquet(data: bytes, name: str) -> pa.Table:
    table = pyarrow.parquet.read_table(pa.BufferReader(data), columns=list(COLUMNS)).select(COLUMNS)
    return pa.table([_text(table[column], f"{name}: {column}") for column in COLUMNS], _SCHEMA)


def _text(column: pa.ChunkedArray, title: str) -> pa.ChunkedArray:
    """A column of any type of text as plain strings; pandas, polars and R write other types than Arrow itself."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise StepError(f"{title} must be a string column, it is {kind}")
    return column.cast(pa.string())
