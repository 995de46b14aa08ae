"""The shards of earlier runs that a bucket uses again, and the photos that remain to be written.

Below `shards/DATASET/BUCKET/` each run with new photos adds a generation: a folder of shards, named by its number and
the hash of its content. A photo counts as written if a shard holds it with the ETag, the quantity and the split of the
plan. The index excludes the other photos of such a shard. A shard of which too many photos would be excluded is not
used, and the rest of its photos are written again.

A complete generation has a marker. An incomplete one belongs to a job that was interrupted or still runs. A job with
the same photos continues it; a job with others uses its complete shards.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from steps.contracts.dataset import SPLITS, Shard, SplitName
from steps.contracts.errors import StepError
from steps.contracts.names import COMPLETE_MARKER, TAR_SUFFIX
from steps.contracts.s3_uri import S3Uri
from steps.runtime.listings import StoredObject
from steps.runtime.s3 import open_store, stored_objects
from steps.shard.bucket import Integers, splits_of
from steps.shard.ledger import Record, read_records, record_of
from steps.shard.rejects import by_reason
from steps.shard.work import IndexedShard, Shards, no_shards

# Digits of a generation's number.
_NUMBER = 6
# Records that are read at a time, and photos that are compared with a bucket at a time: about 10 MB.
_RECORDS = 64
_PHOTOS = 100_000
# Reasons for a refusal that may no longer hold in a later run.
_TEMPORARY = ("missing-image", "replaced")


@dataclass(frozen=True)
class StoredShard:
    """A complete shard, with its size in bytes."""

    uri: S3Uri
    size: int
    generation: str


@dataclass(frozen=True)
class Catalog:
    """The shards below `folder` (`shards/DATASET/BUCKET`): the oldest generation first, incomplete ones at the end."""

    folder: S3Uri
    shards: tuple[StoredShard, ...]
    complete: frozenset[str]

    @classmethod
    def of(cls, folder: S3Uri) -> Catalog:
        """The shards that S3 lists below `folder` now."""
        objects = {entry.key: entry for entry in stored_objects(S3Uri(folder.bucket, f"{folder.key}/"))}
        start = len(folder.key) + 1
        complete = {key[start:].split("/")[0] for key in objects if key[start:].split("/")[1:] == [COMPLETE_MARKER]}
        tars = [
            entry
            for key, entry in objects.items()
            if key.endswith(TAR_SUFFIX) and record_of(S3Uri(folder.bucket, key)).key in objects
        ]
        generations = {entry.key: entry.key[start:].split("/")[0] for entry in tars}
        started: dict[str, datetime] = {}
        for entry in sorted(tars, key=lambda entry: entry.modified, reverse=True):
            started[generations[entry.key]] = entry.modified

        def age(entry: StoredObject) -> tuple[object, ...]:
            """Sort key: complete generations before the others, by their numbers."""
            name = generations[entry.key]
            return name not in complete, name[:_NUMBER], started[name], name, entry.key

        tars.sort(key=age)
        shards = [StoredShard(S3Uri(folder.bucket, tar.key), tar.size, generations[tar.key]) for tar in tars]
        return cls(folder, tuple(shards), frozenset(complete))

    def name(self, key: str) -> str:
        """The name of a new generation whose content has the hash `key`.

        Its number is above all complete ones, also after some were removed, so that it sorts after them.
        """
        numbers = (generation.partition("-")[0] for generation in self.complete)
        latest = max((int(number) for number in numbers if number.isdecimal()), default=0)
        return f"{latest + 1:0{_NUMBER}d}-{key}"

    def settled(self) -> list[StoredShard]:
        """The shards of complete generations."""
        return [shard for shard in self.shards if shard.generation in self.complete]

    def has_begun(self, generation: str) -> bool:
        """Whether a shard of this generation exists."""
        return any(shard.generation == generation for shard in self.shards)


@dataclass(frozen=True)
class Selection:
    """The shards that a bucket uses again, rejected photos by reason, and the bucket's rows to write (`missing`).

    `overlapping`: a photo was in two shards, so that the order of the shards mattered.
    """

    reused: Shards
    rejects: dict[str, list[str]]
    missing: Integers
    overlapping: bool


def select(photos: pa.Table, shards: Sequence[StoredShard], maximum_removed: float) -> Selection:
    """The shards that the photos of a bucket use again: those of which at most `maximum_removed` would be excluded.

    Where two shards hold a photo, the older generation is used, so that added shards never replace used ones; unless
    the younger generation leaves fewer photos to write, as after two jobs at a time, one of which had more photos.
    Raises StepError for a damaged shard or record.
    """
    selection = _select(photos, shards, maximum_removed)
    if selection.overlapping and len(selection.missing):
        generations = [list(group) for _, group in itertools.groupby(shards, key=lambda shard: shard.generation)]
        youngest_first = [shard for group in reversed(generations) for shard in group]
        other = _select(photos, youngest_first, maximum_removed)
        if len(other.missing) < len(selection.missing):
            return other
    return selection


def _select(photos: pa.Table, shards: Sequence[StoredShard], maximum_removed: float) -> Selection:
    """Use `shards`, the first in the list with precedence."""
    reasons: dict[int, str] = {}
    claimed = np.zeros(len(photos), bool)
    quantities = photos["quantity"].to_numpy()
    ids = photos["image_id"]
    reused, overlapping = no_shards(), False
    for matched in _match_shards(photos, shards):
        reasons.update(matched.refused)
        used_before = claimed[np.maximum(matched.rows, 0)]
        live = (matched.rows >= 0) & ~used_before
        overlapping |= bool(np.any(used_before & (matched.rows >= 0)))
        count = int(np.count_nonzero(live))
        # Rounded, as 0.42 of 50 is a little less than 21 in floating point.
        if not count or len(live) - count > round(maximum_removed * len(live), 6):
            continue
        rows = matched.rows[live]
        claimed[rows] = True
        counts = np.unique(quantities[rows], return_counts=True)
        shard = Shard(
            uri=str(matched.record.uri),
            samples=count,
            bytes=matched.record.size,
            sha256=matched.record.sha256,
            excluded=sorted(matched.held["image_id"].filter(pa.array(~live)).to_pylist()),
        )
        classes = dict(zip(*(side.tolist() for side in counts), strict=True))
        reused[matched.split].append(IndexedShard(shard=shard, class_counts=classes))
    rejected = {row: reason for row, reason in sorted(reasons.items()) if not claimed[row]}
    settled = claimed.copy()
    settled[list(rejected)] = True
    rejects = by_reason((ids[row].as_py(), reason) for row, reason in rejected.items())
    return Selection(reused, rejects, np.flatnonzero(~settled), overlapping)


@dataclass(frozen=True)
class _Match:
    """A record compared with a bucket: the row of each photo in the shard, or -1, and the rows that it refused."""

    record: Record
    split: SplitName
    held: pa.Table
    rows: Integers
    refused: list[tuple[int, str]] = field(default_factory=list)


def _match_shards(photos: pa.Table, shards: Sequence[StoredShard]) -> Iterator[_Match]:
    if not shards:
        return
    store = open_store(shards[0].uri.bucket)
    # Each batch hashes the ids of the whole bucket, so there are few large ones, also for many small shards.
    waiting: list[Record] = []
    for begin in range(0, len(shards), _RECORDS):
        places = [(shard.uri, shard.size) for shard in shards[begin : begin + _RECORDS]]
        waiting += asyncio.run(read_records(store, places))
        if sum(len(record.photos) for record in waiting) >= _PHOTOS:
            yield from _match_all(photos, waiting)
            waiting = []
    yield from _match_all(photos, waiting)


def _match_all(photos: pa.Table, records: Sequence[Record]) -> Iterator[_Match]:
    if not records:
        return
    splits = splits_of(photos)
    rows = _rows(photos, pa.concat_tables([record.photos for record in records]))
    end = 0
    for record in records:
        start, end = end, end + len(record.photos)
        yield _match(splits, record, rows[start:end])


def _rows(photos: pa.Table, recorded: pa.Table) -> Integers:
    """For each recorded photo the row of the bucket with the same photo and quantity, or -1."""
    places = pc.index_in(recorded["image_id"], value_set=photos["image_id"].combine_chunks())
    rows: Integers = np.asarray(places.combine_chunks().fill_null(-1), dtype=np.int64)
    present = np.flatnonzero(rows >= 0)
    same = np.ones(len(present), bool)
    for name in ("image_etag", "quantity"):
        ours, theirs = photos[name].take(rows[present]), recorded[name].take(present)
        same &= np.asarray(pc.equal(ours, theirs.cast(ours.type)).combine_chunks())
    rows[present[~same]] = -1
    return rows


def _match(splits: Integers, record: Record, rows: Integers) -> _Match:
    reasons = record.photos["reason"]
    refused: NDArray[np.bool_] = np.asarray(pc.is_valid(reasons).combine_chunks())
    split = _split(record.uri)
    held = rows[~refused]
    # -1 for photos with another split in the bucket, or not in the bucket.
    held = np.where((held >= 0) & (splits[np.maximum(held, 0)] == SPLITS.index(split)), held, -1)
    places = np.flatnonzero(refused & (rows >= 0))
    pairs = zip(rows[places].tolist(), reasons.take(places).to_pylist(), strict=True)
    useless = [(row, reason) for row, reason in pairs if reason not in _TEMPORARY]
    return _Match(record, split, record.held, held, useless)


def _split(uri: S3Uri) -> SplitName:
    folder = uri.key.rsplit("/", 2)[-2]
    for split in SPLITS:
        if split == folder:
            return split
    raise StepError(f"{uri}: shards are in folders named {', '.join(SPLITS)}; remove this one")
