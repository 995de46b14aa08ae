"""A given split: image ids with their splits in Parquet or CSV, such as a published list or another data set's."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from steps.contracts.dataset import SPLITS
from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.runtime.s3 import list_objects, read_object

_COLUMNS = ("image_id", "split")


def read_split_file(location: S3Uri) -> pa.Table:
    """Columns image_id and split, each id once, from one object or from every `.parquet` and `.csv` below a prefix.

    Raises StepError if there is no such object, a column is missing, a split has another name than train, validation or
    test, or an id has two splits.
    """
    keys = [key for key, size in list_objects(location) if size and key.endswith((".parquet", ".csv"))]
    if location.key in keys:
        keys = [location.key]  # not other objects whose names begin with it
    if not keys:
        raise StepError(f"{location}: no .parquet or .csv object with the split")
    tables = []
    for key in keys:
        uri = S3Uri(location.bucket, key)
        table = _parse(read_object(uri), uri)
        wrong = table.filter(pc.invert(pc.is_in(table["split"], value_set=pa.array(SPLITS))))
        if len(wrong):
            image_id, split = (wrong[name][0].as_py() for name in _COLUMNS)
            raise StepError(f"{uri}: image {image_id!r} has split {split!r}; use {', '.join(SPLITS)}")
        tables.append(table)
    pairs = pa.concat_tables(tables).group_by(list(_COLUMNS)).aggregate([])
    again = pairs.group_by("image_id").aggregate([("split", "list"), ("split", "count")])
    again = again.filter(pc.greater(again["split_count"], 1))
    if len(again):
        image_id, splits = again["image_id"][0].as_py(), sorted(again["split_list"][0].as_py())
        raise StepError(f"{location}: image {image_id!r} has two splits, {' and '.join(splits)}")
    return pairs


def _parse(data: bytes, uri: S3Uri) -> pa.Table:
    """Columns image_id and split as strings: as numbers, "00001" and "1" would be one id."""
    try:
        if uri.key.endswith(".csv"):
            types = dict.fromkeys(_COLUMNS, pa.string())
            options = pa.csv.ConvertOptions(include_columns=_COLUMNS, column_types=types)
            return pa.csv.read_csv(pa.BufferReader(data), convert_options=options)
        table = pa.parquet.read_table(pa.BufferReader(data), columns=list(_COLUMNS)).select(_COLUMNS)
        if not pa.types.is_string(table.schema.field("image_id").type):
            raise StepError(f"{uri}: image_id must be a string column, it is {table.schema.field('image_id').type}")
        return table
    except (pa.ArrowException, KeyError) as error:
        raise StepError(f"{uri}: no columns image_id and split can be read from it: {error}") from error
