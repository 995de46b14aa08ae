"""Buckets of a plan as files, with the same bytes whichever engine writes them."""

from __future__ import annotations

import hashlib
import io

import pyarrow as pa
import pyarrow.parquet as pq

from steps.contracts.shard_plan import BUCKET, Bucket


def bucket_name(wave: int, number: int) -> str:
    """The name of a bucket."""
    return f"{wave:06d}-{number:05d}"


def bucket_file(name: str, rows: pa.Table) -> tuple[Bucket, bytes]:
    """A bucket and its file, from its rows in the order of writing (the columns of BUCKET among others)."""
    table = rows.select(BUCKET.names).cast(BUCKET).combine_chunks()
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(None), buffer, compression="zstd")
    content = buffer.getvalue()
    return Bucket(name=name, photos=len(table), sha256=hashlib.sha256(content).hexdigest()), content
