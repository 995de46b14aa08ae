"""Labels at a place that is named by what they are: the same bins have the same place, however often they are queried.

Athena writes rows in an order, and into files with names, that no two runs share. So its files are read once, sorted,
and written to `labels/KEY/`, where KEY is the hash of the rows, whatever file they are in.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from steps.contracts.errors import StepError
from steps.contracts.labels import SCHEMA
from steps.contracts.s3_uri import S3Uri
from steps.runtime.s3 import list_objects, open_store

log = logging.getLogger(__name__)

# Changes when other files come of the same rows.
FORMAT = 1
KEY_DIGITS = 32
# Rows that are Python objects at a time.
_ROWS = 10_000
_HASH_BYTES = 32


def publish(staged: S3Uri, labels: S3Uri, image_location: S3Uri, scratch: Path) -> S3Uri:
    """Write the labels in the Parquet files below `staged` to `labels`/KEY; returns that place.

    `image_location` is where the photos are, and part of the key; `scratch` is an empty folder. A file of the bucketed
    table is held in memory at a time. What a broken-off job left at the place is replaced by the same.
    Raises StepError where a file is not what the contract says, or S3 fails.
    """
    keys = [key for key, size in list_objects(S3Uri(staged.bucket, f"{staged.key}/")) if size]
    store = open_store(staged.bucket)
    total = rows = 0
    for number, key in enumerate(keys):
        table = _read(store, S3Uri(staged.bucket, key))
        rows += len(table)
        total += sum(_hashes(table))
        # Names with the number of files: with another number a row may be in another file.
        pq.write_table(table, scratch / f"part-{number:05d}-of-{len(keys):05d}.parquet", compression="snappy")
    content = [FORMAT, str(image_location), len(keys), rows, total % (1 << 8 * _HASH_BYTES)]
    place = labels.join(hashlib.sha256(json.dumps(content).encode()).hexdigest()[:KEY_DIGITS])
    for path in sorted(scratch.iterdir()):
        _put(place.join(path.name), path)
    log.info("%d labels in %d files at %s", rows, len(keys), place)
    return place


def _read(store: object, uri: S3Uri) -> pa.Table:
    """The labels in one file, sorted by image id."""
    import obstore
    from obstore.exceptions import BaseError

    try:
        content = obstore.get(store, uri.key).bytes()
    except (BaseError, OSError) as error:
        raise StepError(f"{uri}: reading it failed, with all retries: {str(error).splitlines()[0]}") from error
    try:
        table = pq.read_table(pa.BufferReader(content)).select(SCHEMA.names).cast(SCHEMA)
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        raise StepError(f"{uri}: labels do not have the columns {', '.join(SCHEMA.names)}: {error}") from error
    return table.sort_by("image_id").combine_chunks()


def _hashes(table: pa.Table) -> Iterator[int]:
    """A number per row. Their sum does not depend on the order, and so not on which file a row is in."""
    for batch in table.to_batches(max_chunksize=_ROWS):
        columns = batch.to_pydict()
        for row in zip(*(columns[name] for name in SCHEMA.names), strict=True):
            yield int.from_bytes(hashlib.blake2b(json.dumps(row).encode(), digest_size=_HASH_BYTES).digest())


def _put(uri: S3Uri, path: Path) -> None:
    import obstore
    from obstore.exceptions import BaseError

    try:
        obstore.put(open_store(uri.bucket), uri.key, path)
    except (BaseError, OSError) as error:
        raise StepError(f"{uri}: writing it failed, with all retries: {str(error).splitlines()[0]}") from error
