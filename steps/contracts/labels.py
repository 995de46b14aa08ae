"""The labels contract: Parquet files, one row per labelled photo, written by `steps/query`, read by `steps/shard`."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from steps.contracts.errors import StepError

# image_id is the photo's file name without .jpg, always a string: "1" and "00001" are two photos.
# asins are the item ids in the bin, sorted; image_key is the object's key below the raw image location; image_etag (no
# quotes) and image_bytes are those of the object in the listing, so that a replaced photo is detected. bin_group is the
# `group` of own metadata: photos with the same one belong together; null where the metadata name none.
SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("quantity", pa.int32(), nullable=False),
        pa.field("asins", pa.list_(pa.string())),
        pa.field("image_key", pa.string(), nullable=False),
        pa.field("image_etag", pa.string(), nullable=False),
        pa.field("image_bytes", pa.int64(), nullable=False),
        pa.field("bin_group", pa.string()),
    ]
)


def is_labels_file(key: str, size: int) -> bool:
    """Whether a file or object of this name and size (bytes) holds labels: Athena's have no suffix."""
    return PurePosixPath(key).suffix in ("", ".parquet") and size > 0


def label_files(folder: Path) -> list[Path]:
    """The Parquet files of labels below `folder`, sorted. Raises StepError without any, or for a missing column."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and is_labels_file(p.name, p.stat().st_size))
    if not files:
        raise StepError(f"{folder}: no labels; the query step wrote no Parquet file there")
    for file in files:
        try:
            schema = pq.read_schema(file)
            schema.empty_table().select(SCHEMA.names).cast(SCHEMA)
        except (pa.ArrowException, ValueError, KeyError) as error:
            raise StepError(f"{file}: labels do not have the columns {', '.join(SCHEMA.names)}: {error}") from error
    return files


def read_labels(folder: Path) -> pa.Table:
    """All labels below `folder`, sorted by image_id, cast to SCHEMA.

    Raises StepError if there is no Parquet file, a column is missing or null, or an id occurs twice.
    """
    files = label_files(folder)
    try:
        columns = {
            field.name: pa.chunked_array([chunk for file in files for chunk in _read(file, field)], field.type)
            for field in SCHEMA
        }
    except (pa.ArrowException, ValueError, KeyError) as error:
        raise StepError(f"{folder}: labels do not have the columns {', '.join(SCHEMA.names)}: {error}") from error
    # One column at a time, so that there are never two copies of the whole table.
    order = pc.sort_indices(columns["image_id"])
    table = pa.table({name: columns.pop(name).take(order).combine_chunks() for name in SCHEMA.names}, SCHEMA)
    ids = table["image_id"]
    again = pc.equal(ids.slice(1), ids.slice(0, max(0, len(ids) - 1)))
    if pc.any(again).as_py():
        twice = ids[pc.index(again, True).as_py()].as_py()
        raise StepError(f"{folder}: the image id {twice!r} occurs twice in the labels")
    return table


def _read(file: Path, field: pa.Field) -> list[pa.Array]:
    column = pq.read_table(file, columns=[field.name], use_threads=False)[field.name].cast(field.type)
    if column.null_count and not field.nullable:
        raise ValueError(f"{field.name} is null in {file.name}")
    return list(column.chunks)
