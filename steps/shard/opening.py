"""A bucket before it is written: what earlier runs and attempts wrote of it, and the photos that remain."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from steps.contracts.dataset import SPLITS, SplitName
from steps.contracts.s3_uri import S3Uri
from steps.contracts.shard_plan import Bucket
from steps.runtime.s3 import open_store
from steps.shard import catalog
from steps.shard.bucket import ROWS, Remaining, read_bucket, splits_of
from steps.shard.catalog import Catalog, Selection
from steps.shard.ledger import Ledger, Record
from steps.shard.work import IndexedShard, Work, no_shards

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """Where the buckets of a plan are (`plans/KEY/buckets`), and the shards of its data set (`shards/DATASET`)."""

    buckets: S3Uri
    shards: S3Uri


@dataclass(frozen=True)
class OpenBucket:
    """A bucket of which `work` is done already; of each split the photos in `remaining` are to be written.

    The refused photos in `work` are those of earlier runs and attempts.
    """

    name: str
    work: Work
    ledger: Ledger
    remaining: dict[SplitName, Remaining]

    def __len__(self) -> int:
        return sum(len(photos) for photos in self.remaining.values())


def open_bucket(bucket: Bucket, place: Place, maximum_removed: float) -> OpenBucket:
    """Compare a bucket with the shards of earlier runs. Raises StepError for a damaged bucket, shard or record."""
    photos = read_bucket(place.buckets, bucket)
    listed = Catalog.of(place.shards.join(bucket.name))
    selection, generation = _select(photos, listed, maximum_removed)
    missing = photos.take(selection.missing)
    ledger = Ledger(listed.folder.join(generation), open_store(listed.folder.bucket))
    rejects = {reason: list(ids) for reason, ids in selection.rejects.items()}
    splits, written, remaining = splits_of(missing), no_shards(), {}
    for number, split in enumerate(SPLITS):
        rows = np.flatnonzero(splits == number)
        records = asyncio.run(ledger.records(split)) if len(rows) else []
        written[split] = [indexed(record) for record in records]
        for record in records:
            for reason, ids in record.rejects.items():
                rejects.setdefault(reason, []).extend(ids)
        settled = sum(len(record.photos) for record in records)
        if records:
            log.info("bucket %s, %s: %d shards with %d photos exist already", bucket.name, split, len(records), settled)
        remaining[split] = Remaining(split, missing.take(rows[settled:]))
    return OpenBucket(bucket.name, Work(reused=selection.reused, written=written, rejects=rejects), ledger, remaining)


def indexed(record: Record) -> IndexedShard:
    """A new shard in the index. Not the record itself: its photos would stay in memory."""
    return IndexedShard(shard=record.shard, class_counts=record.class_counts)


def _select(photos: pa.Table, listed: Catalog, maximum_removed: float) -> tuple[Selection, str]:
    """The shards to use again, and the name of the generation with the rest."""
    shards = listed.settled()
    selection = catalog.select(photos, shards, maximum_removed)
    generation = listed.name(generation_key(photos.take(selection.missing)))
    if len(selection.missing) and len(shards) < len(listed.shards) and not listed.has_begun(generation):
        # Use also the complete shards of an interrupted job with other photos.
        selection = catalog.select(photos, listed.shards, maximum_removed)
        generation = listed.name(generation_key(photos.take(selection.missing)))
    return selection, generation


def generation_key(photos: pa.Table) -> str:
    """A hash of 16 hexadecimal digits over the content of shards with these photos in this order."""
    digest = hashlib.sha256()
    for begin in range(0, len(photos), ROWS):
        chunk = photos.slice(begin, ROWS).select(["image_id", "image_etag", "quantity", "split"])
        digest.update(json.dumps(chunk.to_pydict(), sort_keys=True).encode())
    return digest.hexdigest()[:16]
