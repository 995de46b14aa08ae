"""A planner in the memory of a process, as arrays over the labels: the baseline of `benchmarks plan`.

It has the same rule as `steps.planning`, in other words, and some 550 bytes per photo.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from benchmarks.contenders.planning.groups import Integers, item_sets
from benchmarks.contenders.planning.leakage import measure
from benchmarks.contenders.planning.links import copies_of, groups_of, link
from benchmarks.contenders.planning.splits import (
    NEW,
    SET_ASIDE,
    Grouped,
    QuantityCounts,
    assign,
    join_earlier,
    shuffle_key,
)
from steps.contracts.dataset import SPLITS, SplitName
from steps.contracts.errors import StepError
from steps.contracts.photo_files import ID
from steps.contracts.shard_summary import Leakage
from steps.planning.settings import DatasetSettings as Settings

log = logging.getLogger(__name__)

# Image ids with their splits.
ASSIGNMENTS = pa.schema([("image_id", pa.string()), ("split", pa.string())])

_SAFE_ID = rf"\A{ID}\z"
# S3 accepts any key, but clients resolve these segments and would request another object.
_UNSAFE_KEY = r"(\A|/)\.{0,2}(/|\z)"
# Rows of the labels that are converted to Python objects at a time.
_ROWS = 1_000


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
    _warn_of_a_large_group(np.bincount(member, minlength=1), len(new), settings)
    names = labels["image_id"].take(firsts).to_pylist()
    splits = splits.copy()
    splits[new] = assign(Grouped(names, member, quantities[new]), counts, settings.fractions, settings.seed)
    return splits


def _warn_of_a_large_group(sizes: Integers, photos: int, settings: Settings) -> None:
    """Warn where a group is larger than a split should be, since no group is divided."""
    largest = int(sizes.max(initial=0))
    if settings.split == "grouped" and largest > min(settings.fractions.values()) * photos:
        log.warning(
            "%d of %d new photos are one group, joined by items or group names that many bins have; it stays in one"
            " split, so the shares of the splits can differ from the wanted ones",
            largest,
            photos,
        )


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
