"""Labels in a folder that is named by their content: two queries with the same labels write to the same folder.

Athena's order of rows and names of files differ between two runs. So its files are read once, sorted, and written to
`labels/KEY/`, where KEY is the hash of the rows and does not depend on their files.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from steps.contracts.errors import StepError
from steps.contracts.labels import SCHEMA
from steps.contracts.s3_uri import S3Uri
from steps.query.objects import store_errors, upload
from steps.runtime.s3 import list_objects, open_store, send

if TYPE_CHECKING:
    from obstore.store import S3Store

log = logging.getLogger(__name__)

# To be changed when the same rows are written as other files.
FORMAT = 1
KEY_DIGITS = 32
# Rows that are Python objects at the same time.
_ROWS = 10_000
_HASH_BYTES = 32


def publish(staged: S3Uri, labels: S3Uri, image_location: S3Uri, scratch: Path) -> S3Uri:
    """Write the labels in the Parquet files below `staged` to the folder `labels`/KEY; returns that folder.

    `image_location` is the location of the photos, and part of the key; `scratch` is an empty folder. One file of the
    bucketed table is in memory at a time. The files of an interrupted job are replaced. Raises StepError for a file
    that does not follow the contract, and for an error of S3.
    """
    keys = [key for key, size in list_objects(S3Uri(staged.bucket, f"{staged.key}/")) if size]
    store = open_store(staged.bucket)
    total = rows = 0
    for number, key in enumerate(keys):
        table = _read(store, S3Uri(staged.bucket, key))
        rows += len(table)
        total += sum(_hashes(table))
        # The name contains the number of files: with another number a row may be in another file.
        pq.write_table(table, scratch / f"part-{number:05d}-of-{len(keys):05d}.parquet", compression="snappy")
    content = [FORMAT, str(image_location), len(keys), rows, total % (1 << 8 * _HASH_BYTES)]
    folder = labels.join(hashlib.sha256(json.dumps(content).encode()).hexdigest()[:KEY_DIGITS])
    for path in sorted(scratch.iterdir()):
        upload(path, folder.join(path.name))
    log.info("%d labels in %d files at %s", rows, len(keys), folder)
    return folder


def _read(store: S3Store, uri: S3Uri) -> pa.Table:
    """The labels in one file, sorted by image id."""
    import obstore

    with store_errors(f"reading {uri}"):
        content = send(lambda: obstore.get(store, uri.key).bytes())
    try:
        table = pq.read_table(pa.BufferReader(content)).select(SCHEMA.names).cast(SCHEMA)
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        raise StepError(f"{uri}: labels do not have the columns {', '.join(SCHEMA.names)}: {error}") from error
    return table.sort_by("image_id").combine_chunks()


def _hashes(table: pa.Table) -> Iterator[int]:
    """A number per row. The sum does not depend on the order of rows, nor on their files."""
    for batch in table.to_batches(max_chunksize=_ROWS):
        columns = batch.to_pydict()
        for row in zip(*(columns[name] for name in SCHEMA.names), strict=True):
            yield int.from_bytes(hashlib.blake2b(json.dumps(row).encode(), digest_size=_HASH_BYTES).digest())
