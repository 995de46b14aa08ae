"""Who writes what: the split of every photo, the order of all, and one instance's share. Arithmetic, no I/O.

Every instance makes the same plan from the same labels and takes its share by counting; none talks to another. A plan
is a few arrays over the labels' rows, so that half a million photos are tens of megabytes.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from steps.contracts.dataset import SPLITS, Sharding, SplitName
from steps.contracts.errors import StepError
from steps.contracts.shard_summary import Leakage
from steps.runtime.container import Instance
from steps.shard.groups import Integers, alike_pairs, item_sets
from steps.shard.leakage import measure
from steps.shard.settings import Settings
from steps.shard.splits import NEW, SET_ASIDE, Grouped, Held, assign, join_known, shuffle_key

log = logging.getLogger(__name__)

# Changes when other shards come of the same photos and settings, so that shards of an older kind are not taken for
# those of this one.
FORMAT = 2
# Image ids with their splits.
ASSIGNMENTS = pa.schema([("image_id", pa.string()), ("split", pa.string())])

# An id becomes a member name in a tar, where a dot ends the sample's key and a slash begins a folder; with `.jpg` it
# must fit the 100 bytes of a ustar name.
_SAFE_ID = r"\A[A-Za-z0-9_][A-Za-z0-9_-]{0,95}\z"
# S3 takes any key, but clients resolve these segments and would ask for another object.
_UNSAFE_KEY = r"(\A|/)\.{0,2}(/|\z)"
# Rows of the labels that are Python objects at a time.
_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo to be written; `etag` and `size` (bytes) are those of the object that was labelled."""

    split: SplitName
    image_id: str
    key: str
    quantity: int
    etag: str
    size: int


@dataclass(frozen=True)
class Share:
    """What one instance writes: for each split the rows of its photos in the order of writing."""

    labels: pa.Table
    rows: dict[SplitName, Integers]

    def __len__(self) -> int:
        return sum(map(len, self.rows.values()))

    def photos(self, split: SplitName, start: int = 0) -> Iterator[Photo]:
        """The photos of `split` in the order of writing, from the one at place `start`."""
        rows = self.rows[split]
        for begin in range(start, len(rows), _ROWS):
            chunk = self.labels.take(rows[begin : begin + _ROWS])
            columns = (chunk[name].to_pylist() for name in self.labels.column_names)
            for image_id, key, quantity, etag, size in zip(*columns, strict=True):
                yield Photo(split, image_id, key, quantity, etag, size)


@dataclass(frozen=True)
class Plan:
    """The whole data set: rows of `labels` split by split, in each split in an order that looks like chance.

    `refused` are the rows that are left out with their reasons; `assigned` are the splits that this plan decided;
    `splits` is every row's split or a negative number.
    """

    labels: pa.Table
    order: Integers
    splits: Integers
    refused: list[tuple[int, str]]
    assigned: pa.Table
    leakage: Leakage

    def share(self, rows: Integers, instance: Instance) -> Share:
        """Of `rows`, which are to be written and in the plan's order, those at every `instance.count`-th place.

        Shares differ by one photo at most. Taken like this, every split is spread over all instances, and every
        instance's share is a random sample.
        """
        mine = rows[instance.index :: instance.count]
        return Share(
            labels=self.labels,
            rows={split: mine[self.splits[mine] == place] for place, split in enumerate(SPLITS)},
        )

    def refusals(self) -> dict[str, list[str]]:
        """The ids of the photos that are left out before they are looked at, by reason."""
        ids = self.labels["image_id"]
        by_reason: dict[str, list[str]] = {}
        for row, reason in self.refused:
            by_reason.setdefault(reason, []).append(ids[row].as_py())
        return by_reason


def make_plan(labels: pa.Table, settings: Settings, earlier: pa.Table | None = None) -> Plan:
    """The plan for `labels` (the labels contract, sorted by image id).

    `earlier` are known assignments (`image_id`, `split`): of the runs before, whose photos keep their split, or with
    `settings.split` "file" the given split, which is all there is. Raises StepError when a split is empty, a quantity
    does not occur in training, or all photos show one quantity.
    """
    ids, quantities = labels["image_id"], labels["quantity"].to_numpy().astype(np.int64)
    splits = known = _known(ids, earlier)
    reasons = _refusals(labels, known if settings.split == "file" else None)
    usable = np.ones(len(labels), bool)
    usable[list(reasons)] = False
    sets = item_sets(labels["asins"])
    sets.of_photo[~usable] = -1  # what is left out makes nothing alike
    pairs = alike_pairs(sets)
    group = np.arange(len(labels))
    if settings.split == "grouped":
        splits, group = join_known(np.where(usable, known, NEW), sets, pairs)
    if settings.split != "file":
        splits = _assign(splits, usable, group, labels, settings)
    reasons |= dict.fromkeys(np.flatnonzero(usable & (splits == SET_ASIDE)).tolist(), "between-two-splits")
    splits[list(reasons)] = NEW

    used = np.flatnonzero(splits >= 0)
    if not len(used):
        counts = ", ".join(f"{reason} {n}" for reason, n in Counter(reasons.values()).most_common())
        raise StepError(f"none of the {len(labels)} labelled photos can be used: {counts or 'there are none'}")
    keys = np.zeros(len(labels), np.uint64)
    keys[used] = _shuffle_keys(ids.take(used), settings.seed)
    _check_splits(splits[used], quantities[used])
    leakage = measure(splits, sets, pairs, keys, _fractions(settings, splits))
    decided = np.flatnonzero((splits >= 0) & (known == NEW)) if settings.split != "file" else used[:0]
    return Plan(
        labels=labels.select(["image_id", "image_key", "quantity", "image_etag", "image_bytes"]),
        order=used[np.lexsort((keys[used], splits[used]))],
        splits=splits,
        refused=sorted(reasons.items()),
        assigned=_assignments(ids, splits, decided),
        leakage=leakage,
    )


def describe(settings: Settings, plan: Plan) -> Sharding:
    """The settings as the index records them; of a given split, the fractions it has."""
    return Sharding(
        split=settings.split,
        seed=settings.seed,
        fractions={split: round(fraction, 6) for split, fraction in _fractions(settings, plan.splits).items()},
        image_size=settings.image_size,
        quality=settings.quality,
    )


def dataset_key(settings: Settings) -> str:
    """What shards can be used again for, as 16 hexadecimal digits: all that shapes a photo in a shard, and the splits.

    The photos are not in it: shards of the same key add up.
    """
    from importlib.metadata import version

    depends = {
        "format": FORMAT,
        "libraries": {name: version(name) for name in ("simplejpeg", "opencv-python-headless")},
        "image_location": str(settings.image_location),
        "image_size": settings.image_size,
        "quality": settings.quality,
        "shard_bytes": settings.shard_bytes,
        "compact": settings.compact,
        "split": settings.split,
        # A given split is compared photo by photo.
        "assignment": None if settings.split == "file" else [settings.seed, settings.fractions],
    }
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:16]


def generation_key(plan: Plan, rows: Integers, instances: int) -> str:
    """What shards that hold `rows` of a plan, in this order, consist of, as 16 hexadecimal digits."""
    digest = hashlib.sha256(f"{instances}".encode())
    for begin in range(0, len(rows), _ROWS):
        chunk = rows[begin : begin + _ROWS]
        photos = plan.labels.select(["image_id", "image_etag", "quantity"]).take(chunk).to_pydict()
        digest.update(json.dumps([photos, plan.splits[chunk].tolist()], sort_keys=True).encode())
    return digest.hexdigest()[:16]


def _shuffle_keys(names: pa.ChunkedArray, seed: int) -> NDArray[np.uint64]:
    """`shuffle_key` of each name, few of them Python objects at a time."""
    chunks = (names.slice(begin, _ROWS).to_pylist() for begin in range(0, len(names), _ROWS))
    return np.fromiter((shuffle_key(seed, name) for chunk in chunks for name in chunk), np.uint64, len(names))


def _known(ids: pa.ChunkedArray, earlier: pa.Table | None) -> Integers:
    """Each photo's split in `earlier`, or NEW."""
    if earlier is None or not len(earlier):
        return np.full(len(ids), NEW)
    names = pc.index_in(earlier["split"], value_set=pa.array(SPLITS, pa.string()))
    places = pc.index_in(ids, value_set=earlier["image_id"].combine_chunks())
    known = pc.take(names, places)
    return np.asarray(known.combine_chunks().fill_null(NEW), dtype=np.int64)


def _refusals(labels: pa.Table, given: Integers | None) -> dict[int, str]:
    """The rows that cannot be used, with the first reason that holds."""
    safe_id = pc.match_substring_regex(labels["image_id"], _SAFE_ID).to_numpy()
    unsafe_key = pc.match_substring_regex(labels["image_key"], _UNSAFE_KEY).to_numpy()
    reasons: dict[int, str] = {}
    if given is not None:
        reasons |= dict.fromkeys(np.flatnonzero(given == NEW).tolist(), "not-in-split-file")
    reasons |= dict.fromkeys(np.flatnonzero(unsafe_key).tolist(), "unsafe-key")
    reasons |= dict.fromkeys(np.flatnonzero(~safe_id).tolist(), "unsafe-id")
    return reasons


def _assign(
    splits: Integers, usable: NDArray[np.bool_], group: Integers, labels: pa.Table, settings: Settings
) -> Integers:
    """Splits for the photos that have none yet."""
    quantities = labels["quantity"].to_numpy().astype(np.int64)
    new = np.flatnonzero(usable & (splits == NEW))
    held: Held = {split: Counter(quantities[usable & (splits == place)].tolist()) for place, split in enumerate(SPLITS)}
    firsts, member = np.unique(group[new], return_inverse=True)
    names = labels["image_id"].take(firsts).to_pylist()
    splits = splits.copy()
    splits[new] = assign(Grouped(names, member, quantities[new]), held, settings.fractions, settings.seed)
    return splits


def _assignments(ids: pa.ChunkedArray, splits: Integers, rows: Integers) -> pa.Table:
    return pa.table([ids.take(rows), pa.array(SPLITS, pa.string()).take(splits[rows])], schema=ASSIGNMENTS)


def _fractions(settings: Settings, splits: Integers) -> dict[SplitName, float]:
    if settings.split != "file":
        return settings.fractions
    used = np.count_nonzero(splits >= 0)
    return {split: np.count_nonzero(splits == place) / used for place, split in enumerate(SPLITS)}


def _check_splits(splits: Integers, quantities: Integers) -> None:
    everywhere = set(quantities.tolist())
    counts = {split: Counter(quantities[splits == place].tolist()) for place, split in enumerate(SPLITS)}
    for split in SPLITS:
        log.info("%s: %s", split, ", ".join(f"{n} photos of {q}" for q, n in sorted(counts[split].items())))
        if not counts[split]:
            raise StepError(f"no photo falls to the {split} split; use more photos, other fractions or another split")
    if len(everywhere) < 2:
        raise StepError(f"all {len(splits)} photos show {min(everywhere)} objects; a model needs two quantities")
    for quantity in sorted(everywhere - set(counts["train"])):
        raise StepError(f"no photo with quantity {quantity} falls to training; use more photos or another split")
    for split in SPLITS:
        for quantity in sorted(everywhere - set(counts[split])):
            log.warning("quantity %d is too rare to occur in the %s split", quantity, split)
