"""The labels contract: Parquet files, one row a labelled photo, written by `steps/query`, read by `steps/shard`."""

from __future__ import annotations

import itertools
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from steps.common.errors import StepError

# image_id is the photo's file name without .jpg, always a string: "1" and "00001" are two photos.
# asins are the item ids in the bin, sorted; image_key is the object's key below the raw image location.
SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("quantity", pa.int32(), nullable=False),
        pa.field("asins", pa.list_(pa.string())),
        pa.field("image_key", pa.string(), nullable=False),
    ]
)


def read_labels(folder: Path) -> pa.Table:
    """All labels below `folder`, sorted by image_id, cast to SCHEMA.

    Raises StepError where there is no Parquet file, a column is missing or null, or an id occurs twice.
    """
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix in ("", ".parquet") and p.stat().st_size)
    if not files:
        raise StepError(f"{folder}: no labels; the query step wrote no Parquet file there")
    try:
        tables = [pq.read_table(file, columns=SCHEMA.names) for file in files]
        table = pa.concat_tables([table.select(SCHEMA.names).cast(SCHEMA) for table in tables])
    except (pa.ArrowException, ValueError, KeyError) as error:
        raise StepError(f"{folder}: labels do not have the columns {', '.join(SCHEMA.names)}: {error}") from error
    table = table.sort_by("image_id")
    ids = table["image_id"].to_pylist()
    for before, after in itertools.pairwise(ids):
        if before == after:
            raise StepError(f"{folder}: the image id {after!r} occurs twice in the labels")
    return table
