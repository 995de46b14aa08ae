"""A split that is given: image ids and their splits from Parquet or CSV, such as a published list or an earlier run's
assignments."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from steps.common.dataset import SPLITS, SplitName
from steps.common.errors import StepError
from steps.common.s3 import S3Uri, list_objects, open_store

_COLUMNS = ("image_id", "split")


def read_split_file(location: S3Uri) -> dict[str, SplitName]:
    """The split of each listed image id, from one object or from every `.parquet` and `.csv` below a prefix.

    Raises StepError where there is none, a column is missing, a split has another name than train, validation or
    test, or an id is given two splits.
    """
    import obstore

    keys = [key for key, size in list_objects(location) if size and key.endswith((".parquet", ".csv"))]
    if location.key in keys:
        keys = [location.key]  # not its neighbours whose names begin alike
    if not keys:
        raise StepError(f"{location}: no .parquet or .csv there to take the split from")
    store = open_store(location.bucket)
    splits: dict[str, SplitName] = {}
    names: dict[str, SplitName] = {name: name for name in SPLITS}
    for key in keys:
        uri = S3Uri(location.bucket, key)
        table = _parse(bytes(obstore.get(store, key).bytes()), uri)
        for image_id, split in zip(table["image_id"].to_pylist(), table["split"].to_pylist(), strict=True):
            if split not in names:
                raise StepError(f"{uri}: image {image_id!r} has split {split!r}; use {', '.join(SPLITS)}")
            if splits.setdefault(image_id, names[split]) != split:
                raise StepError(f"{uri}: image {image_id!r} is given two splits, {splits[image_id]} and {split}")
    return splits


def _parse(data: bytes, uri: S3Uri) -> pa.Table:
    """Columns image_id and split as strings: read as numbers, "00001" and "1" would be one id."""
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
