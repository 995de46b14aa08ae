"""The plan of the shards: every photo's split, the order of photos, and each instance's share. Arithmetic, no I/O.

Every instance computes the same plan from the same labels and takes its share by counting. A plan is a few arrays over
the labels' rows, so that half a million photos need tens of megabytes.
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
from steps.contracts.photo_files import ID
from steps.contracts.shard_summary import Leakage
from steps.runtime.container import Instance
from steps.shard.groups import Integers, item_sets
from steps.shard.leakage import measure
from steps.shard.links import copies_of, groups_of, link
from steps.shard.rejects import by_reason
from steps.shard.settings import Settings
from steps.shard.splits import NEW, SET_ASIDE, Grouped, QuantityCounts, assign, join_earlier, shuffle_key

log = logging.getLogger(__name__)

# Changes when the same photos and settings result in other shards, so that shards of an older format are not used.
FORMAT = 2
# Image ids with their splits.
ASSIGNMENTS = pa.schema([("image_id", pa.string()), ("split", pa.string())])

_SAFE_ID = rf"\A{ID}\z"
# S3 accepts any key, but clients resolve these segments and would request another object.
_UNSAFE_KEY = r"(\A|/)\.{0,2}(/|\z)"
# Rows of the labels that are converted to Python objects at a time.
_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo to be written; `etag` and `size` (bytes) are those of the labelled object."""

    split: SplitName
    image_id: str
    key: str
    quantity: int
    etag: str
    size: int


@dataclass(frozen=True)
class Share:
    """The photos that one instance writes: per split their rows in the order of writing."""

    labels: pa.Table
    rows: dict[SplitName, Integers]

    def __len__(self) -> int:
        return sum(map(len, self.rows.values()))

    def photos(self, split: SplitName, start: int = 0) -> Iterator[Photo]:
        """The photos of `split` in the order of writing, from position `start`."""
        rows = self.rows[split]
        for begin in range(start, len(rows), _ROWS):
            chunk = self.labels.take(rows[begin : begin + _ROWS])
            columns = (chunk[name].to_pylist() for name in self.labels.column_names)
            for values in zip(*columns, strict=True):
                yield Photo(split, *values)


@dataclass(frozen=True)
class Plan:
    """The whole data set: `order` lists rows of `labels` split by split, in each split in a pseudo-random order.

    `refused` are the rows that are left out, with their reasons; `assigned` are the splits that this plan decided;
    `splits` is every row's split or a negative number.
    """

    labels: pa.Table
    order: Integers
    splits: Integers
    refused: list[tuple[int, str]]
    assigned: pa.Table
    leakage: Leakage

    def share(self, rows: Integers, instance: Instance) -> Share:
        """Every `instance.count`-th row of `rows`, which are to be written and in the plan's order.

        Shares differ by at most one photo. Every split is spread over all instances, and every instance's share is a
        random sample.
        """
        mine = rows[instance.index :: instance.count]
        return Share(
            labels=self.labels, rows={split: mine[self.splits[mine] == place] for place, split in enumerate(SPLITS)}
        )

    def refusals(self) -> dict[str, list[str]]:
        """The ids of the photos that are left out before they are read, by reason."""
        ids = self.labels["image_id"]
        return by_reason((ids[row].as_py(), reason) for row, reason in self.refused)


def make_plan(labels: pa.Table, settings: Settings, earlier: pa.Table | None = None) -> Plan:
    """The plan for `labels` (the labels contract, sorted by image id).

    `earlier` are existing assignments (`image_id`, `split`): those of earlier runs, whose photos keep their split, or
    with `settings.split` "file" the given split. Raises StepError if a split is empty, a quantity does not occur in
    training, or all photos show one quantity.
    """
    ids, quantities = labels["image_id"], labels["quantity"].to_numpy().astype(np.int64)
    splits = given = _given_splits(ids, earlier)
    reasons = _refusals(labels, given if settings.split == "file" else None)
    usable = np.ones(len(labels), bool)
    usable[list(reasons)] = False
    sets = item_sets(labels["asins"])
    sets.of_photo[~usable] = -1  # photos that are left out connect no others
    groups, copies = groups_of(labels, usable), copies_of(labels, usable)
    links = link(sets, groups, copies)
    group = np.arange(len(labels))
    if settings.split == "grouped":
        splits, group = join_earlier(np.where(usable, given, NEW), links)
    if settings.split != "file":
        splits = _assign(splits, usable, group, labels, settings)
    reasons |= dict.fromkeys(np.flatnonzero(usable & (splits == SET_ASIDE)).tolist(), "between-two-splits")
    splits[list(reasons)] = NEW

    used = np.flatnonzero(splits >= 0)
    if not len(used):
        counts = ", ".join(f"{reason} {n}" for reason, n in Counter(reasons.values()).most_common())
        raise StepError(f"none of the {len(labels)} labelled photos can be used: {counts or 'the labels are empty'}")
    keys = np.zeros(len(labels), np.uint64)
    keys[used] = _shuffle_keys(ids.take(used), settings.seed)
    _check_splits(splits[used], quantities[used])
    by_plan, by_chance = measure(splits, sets, links, keys, _fractions(settings, splits))
    filled = (splits >= 0) & (quantities > 0)
    leakage = Leakage(
        split=by_plan,
        random=by_chance,
        photos=int(np.count_nonzero(filled)),
        unknown=int(np.count_nonzero(filled & (sets.of_photo < 0) & (groups < 0))),
        copies=int(np.count_nonzero((splits >= 0) & (copies >= 0))),
    )
    decided = np.flatnonzero((splits >= 0) & (given == NEW)) if settings.split != "file" else used[:0]
    return Plan(
        labels=labels.select(["image_id", "image_key", "quantity", "image_etag", "image_bytes"]),
        order=used[np.lexsort((keys[used], splits[used]))],
        splits=splits,
        refused=sorted(reasons.items()),
        assigned=pa.table([ids.take(decided), pa.array(SPLITS, pa.string()).take(splits[decided])], ASSIGNMENTS),
        leakage=leakage,
    )


def describe(settings: Settings, plan: Plan) -> Sharding:
    """The settings as the index records them; for a given split with its own fractions."""
    return Sharding(
        split=settings.split,
        seed=settings.seed,
        fractions={split: round(fraction, 6) for split, fraction in _fractions(settings, plan.splits).items()},
        image_size=settings.image_size,
        quality=settings.quality,
    )


def dataset_key(settings: Settings) -> str:
    """A hash of 16 hexadecimal digits over all that determines a photo in a shard, and the splits.

    Shards with the same key can be used together: the photos are not part of the key.
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
    """A hash of 16 hexadecimal digits over the content of shards with `rows` of a plan in this order."""
    digest = hashlib.sha256(f"{instances}".encode())
    for begin in range(0, len(rows), _ROWS):
        chunk = rows[begin : begin + _ROWS]
        photos = plan.labels.select(["image_id", "image_etag", "quantity"]).take(chunk).to_pydict()
        digest.update(json.dumps([photos, plan.splits[chunk].tolist()], sort_keys=True).encode())
    return digest.hexdigest()[:16]


def _shuffle_keys(names: pa.ChunkedArray, seed: int) -> NDArray[np.uint64]:
    """`shuffle_key` of each name, with few of them as Python objects at a time."""
    chunks = (names.slice(begin, _ROWS).to_pylist() for begin in range(0, len(names), _ROWS))
    return np.fromiter((shuffle_key(seed, name) for chunk in chunks for name in chunk), np.uint64, len(names))


def _given_splits(ids: pa.ChunkedArray, earlier: pa.Table | None) -> Integers:
    """Each photo's split in `earlier`, or NEW."""
    if earlier is None or not len(earlier):
        return np.full(len(ids), NEW)
    names = pc.index_in(earlier["split"], value_set=pa.array(SPLITS, pa.string()))
    places = pc.index_in(ids, value_set=earlier["image_id"].combine_chunks())
    splits = pc.take(names, places)
    return np.asarray(splits.combine_chunks().fill_null(NEW), dtype=np.int64)


def _refusals(labels: pa.Table, given: Integers | None) -> dict[int, str]:
    """The rows that cannot be used, with the first reason that applies."""
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
    """Splits, with one for each photo that had none."""
    quantities = labels["quantity"].to_numpy().astype(np.int64)
    new = np.flatnonzero(usable & (splits == NEW))
    counts: QuantityCounts = {
        split: Counter(quantities[usable & (splits == place)].tolist()) for place, split in enumerate(SPLITS)
    }
    firsts, member = np.unique(group[new], return_inverse=True)
    names = labels["image_id"].take(firsts).to_pylist()
    splits = splits.copy()
    splits[new] = assign(Grouped(names, member, quantities[new]), counts, settings.fractions, settings.seed)
    return splits


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
            raise StepError(f"no photo is in the {split} split; use more photos, other fractions or another split")
    if len(everywhere) < 2:
        raise StepError(f"all {len(splits)} photos show {min(everywhere)} objects; a model needs two quantities")
    for quantity in sorted(everywhere - set(counts["train"])):
        raise StepError(f"no photo with quantity {quantity} is in the training split; use more photos or another split")
    for split in SPLITS:
        for quantity in sorted(everywhere - set(counts[split])):
            log.warning("quantity %d is too rare to occur in the %s split", quantity, split)
