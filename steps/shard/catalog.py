"""Which shards of earlier runs a plan uses again, and what is left to be written.

Below `shards/KEY/` each run that has new photos adds a generation, a folder of shards that is named by its number and
the hash of what they hold. A photo counts as written where a shard holds it with the ETag, the quantity and the split
that the plan has; what a shard holds besides is excluded by the index. A shard of which too much would be excluded is
not used: the rest of its photos are written again.

A generation that is whole has a marker. One that is not is of a job that was broken off, or still runs. Whoever plans
the same goes on with it; whoever plans something else takes the shards in it that are whole.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from steps.contracts.dataset import SPLITS, Shard, SplitName
from steps.contracts.errors import StepError
from steps.contracts.names import COMPLETE_MARKER, TAR_SUFFIX
from steps.contracts.s3_uri import S3Uri
from steps.runtime.s3 import StoredObject, open_store, stored_objects
from steps.shard.groups import Integers
from steps.shard.ledger import Record, read_records, record_of
from steps.shard.plan import Plan

if TYPE_CHECKING:
    from obstore.store import S3Store

# Digits of a generation's number.
_NUMBER = 6
# Records that are read at a time, and photos that are held against a plan at a time: some 30 MB.
_RECORDS = 64
_PHOTOS = 500_000
# What a photo was refused for that another look may find otherwise.
_PASSING = ("missing-image", "replaced")


@dataclass(frozen=True)
class Written:
    """A shard that is whole, with its size in bytes."""

    uri: S3Uri
    size: int
    generation: str


@dataclass(frozen=True)
class Catalog:
    """The shards below `folder` (`shards/KEY`), the oldest generation first, those that are not whole at the end."""

    folder: S3Uri
    shards: tuple[Written, ...]
    complete: frozenset[str]

    @classmethod
    def of(cls, folder: S3Uri) -> Catalog:
        """What S3 lists below `folder` now."""
        objects = {entry.key: entry for entry in stored_objects(S3Uri(folder.bucket, f"{folder.key}/"))}
        start = len(folder.key) + 1
        complete = {key[start:].split("/")[0] for key in objects if key[start:].split("/")[1:] == [COMPLETE_MARKER]}
        tars = [
            entry
            for key, entry in objects.items()
            if key.endswith(TAR_SUFFIX) and record_of(S3Uri(folder.bucket, key)).key in objects
        ]
        generations = {entry.key: entry.key[start:].split("/")[0] for entry in tars}
        begun: dict[str, datetime] = {}
        for entry in sorted(tars, key=lambda entry: entry.modified, reverse=True):
            begun[generations[entry.key]] = entry.modified

        def age(entry: StoredObject) -> tuple[object, ...]:
            """A generation as a whole, by its number, those that are not whole behind the others."""
            name = generations[entry.key]
            return name not in complete, name[:_NUMBER], begun[name], name, entry.key

        tars.sort(key=age)
        shards = [Written(S3Uri(folder.bucket, tar.key), tar.size, generations[tar.key]) for tar in tars]
        return cls(folder, tuple(shards), frozenset(complete))

    def name(self, key: str) -> str:
        """The name of a generation that is added to these, and holds what `key` is the hash of.

        Its number is above all, also where some were removed, so that it comes after them.
        """
        numbers = (generation.partition("-")[0] for generation in self.complete)
        latest = max((int(number) for number in numbers if number.isdecimal()), default=0)
        return f"{latest + 1:0{_NUMBER}d}-{key}"

    def settled(self) -> list[Written]:
        """The shards of generations that are whole."""
        return [shard for shard in self.shards if shard.generation in self.complete]

    def begun(self, generation: str) -> bool:
        """Whether there is a shard of this generation."""
        return any(shard.generation == generation for shard in self.shards)


@dataclass(frozen=True)
class Kept:
    """A shard that is used again, and how many of its photos that count show each quantity."""

    split: SplitName
    shard: Shard
    class_counts: dict[int, int]


@dataclass(frozen=True)
class Selection:
    """What a plan uses again (`kept`), photos that are known to be no use, by reason, and the rows to be written.

    `overlapping`: a photo was in two shards, so that the order of the shards counted.
    """

    kept: list[Kept]
    rejects: dict[str, list[str]]
    missing: Integers
    overlapping: bool

    @property
    def reused(self) -> int:
        """Photos in shards that are used again."""
        return sum(kept.shard.samples for kept in self.kept)

    @property
    def excluded(self) -> int:
        """Photos in these shards that are not used from there: removed, or written again since."""
        return sum(len(kept.shard.excluded) for kept in self.kept)


def select(plan: Plan, shards: Sequence[Written], maximum_removed: float) -> Selection:
    """What of `shards` a plan uses again: each of which no more than `maximum_removed` would be excluded.

    Where two shards hold a photo, the older generation is used, so that what is added never takes the place of what is
    used; unless the younger one leaves less to be written, as when one of two jobs at a time had photos that the other
    had not. Raises StepError for a shard or a record that is damaged.
    """
    selection = _select(plan, shards, maximum_removed)
    if selection.overlapping and len(selection.missing):
        other = _select(plan, _youngest_first(shards), maximum_removed)
        if len(other.missing) < len(selection.missing):
            return other
    return selection


def _youngest_first(shards: Sequence[Written]) -> list[Written]:
    generations = [list(group) for _, group in itertools.groupby(shards, key=lambda shard: shard.generation)]
    return [shard for group in reversed(generations) for shard in group]


def _select(plan: Plan, shards: Sequence[Written], maximum_removed: float) -> Selection:
    """Use `shards`, the first in the list before the others."""
    rejected = np.zeros(len(plan.labels), bool)
    reasons: dict[int, str] = {}
    claimed = np.zeros(len(plan.labels), bool)
    quantities = plan.labels["quantity"].to_numpy()
    ids = plan.labels["image_id"]
    kept, overlapping = [], False
    for matched in _matched(plan, shards):
        for row, reason in matched.refused:
            reasons[row] = reason
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
        kept.append(Kept(matched.split, shard, dict(zip(*(side.tolist() for side in counts), strict=True))))
    rejects: dict[str, list[str]] = {}
    for row in sorted(reasons):
        if not claimed[row]:
            rejected[row] = True
            rejects.setdefault(reasons[row], []).append(ids[row].as_py())
    order = plan.order
    return Selection(kept, rejects, order[~claimed[order] & ~rejected[order]], overlapping)


@dataclass(frozen=True)
class _Matched:
    """A record held against a plan: for each photo in the shard its row, or -1, and the rows that it refused."""

    record: Record
    split: SplitName
    held: pa.Table
    rows: Integers
    refused: list[tuple[int, str]] = field(default_factory=list)


def _matched(plan: Plan, shards: Sequence[Written]) -> Iterator[_Matched]:
    if not shards:
        return
    store = open_store(shards[0].uri.bucket)
    # Each batch hashes the ids of the whole plan: few large ones, however many small shards there are.
    enough = max(_PHOTOS, len(plan.labels) // 4)
    waiting: list[Record] = []
    for begin in range(0, len(shards), _RECORDS):
        waiting += _read(store, shards[begin : begin + _RECORDS])
        if sum(len(record.photos) for record in waiting) >= enough:
            yield from _match_all(plan, waiting)
            waiting = []
    yield from _match_all(plan, waiting)


def _match_all(plan: Plan, records: Sequence[Record]) -> Iterator[_Matched]:
    if not records:
        return
    rows = _rows(plan, pa.concat_tables([record.photos for record in records]))
    end = 0
    for record in records:
        start, end = end, end + len(record.photos)
        yield _match(plan, record, rows[start:end])


def _read(store: S3Store, shards: Sequence[Written]) -> list[Record]:
    return asyncio.run(read_records(store, ((shard.uri, shard.size) for shard in shards)))


def _rows(plan: Plan, photos: pa.Table) -> Integers:
    """For each photo the row of the plan that is the same photo with the same quantity, or -1."""
    labels = plan.labels
    places = pc.index_in(photos["image_id"], value_set=labels["image_id"].combine_chunks())
    rows: Integers = np.asarray(places.combine_chunks().fill_null(-1), dtype=np.int64)
    there = np.flatnonzero(rows >= 0)
    same = np.ones(len(there), bool)
    for name in ("image_etag", "quantity"):
        ours, theirs = labels[name].take(rows[there]), photos[name].take(there)
        same &= np.asarray(pc.equal(ours, theirs.cast(ours.type)).combine_chunks())
    rows[there[~same]] = -1
    return rows


def _match(plan: Plan, record: Record, rows: Integers) -> _Matched:
    reasons = record.photos["reason"]
    refused: NDArray[np.bool_] = np.asarray(pc.is_valid(reasons).combine_chunks())
    split = _split(record.uri)
    held = rows[~refused]
    # Of another split than the plan's, or not in the plan.
    held = np.where((held >= 0) & (plan.splits[np.maximum(held, 0)] == SPLITS.index(split)), held, -1)
    places = np.flatnonzero(refused & (rows >= 0))
    pairs = zip(rows[places].tolist(), reasons.take(places).to_pylist(), strict=True)
    useless = [(row, reason) for row, reason in pairs if reason not in _PASSING and plan.splits[row] >= 0]
    return _Matched(record, split, record.held, held, useless)


def _split(uri: S3Uri) -> SplitName:
    folder = uri.key.rsplit("/", 2)[-2]
    for split in SPLITS:
        if split == folder:
            return split
    raise StepError(f"{uri}: shards are in folders named {', '.join(SPLITS)}; remove this one")
