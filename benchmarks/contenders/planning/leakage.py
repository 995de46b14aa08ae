"""Overlap of the held-out splits with training: arithmetic, without I/O."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.contenders.planning.groups import Integers, ItemSets, connect
from benchmarks.contenders.planning.links import Links
from steps.contracts.dataset import SPLITS, SplitName
from steps.contracts.shard_summary import Overlap

TRAIN = SPLITS.index("train")


def measure(
    splits: Integers, sets: ItemSets, links: Links, keys: NDArray[np.uint64], fractions: dict[SplitName, float]
) -> tuple[Overlap, Overlap]:
    """The overlap of these splits, and of a random split of the same photos by the same fractions.

    `splits` is each photo's split, negative for photos that are left out; `keys` are evenly spread numbers, one per
    photo. Photos that are left out connect no bins.
    """
    used = splits >= 0
    present = links.has_any(used)
    pairs = np.concatenate([links.alike.edges(present), links.shared(used)])
    bins = connect(links.count, pairs)
    limits = np.cumsum([fractions[split] for split in SPLITS])[:-1]
    by_chance = np.where(used, np.searchsorted(limits, keys / 2.0**64, side="right"), -1)
    return _overlap(splits, sets, links, bins), _overlap(by_chance, sets, links, bins)


def _overlap(splits: Integers, sets: ItemSets, links: Links, bins: Integers) -> Overlap:
    trained_bins, trained_items = np.zeros(links.count, bool), np.zeros(sets.kinds, bool)
    trained_bins[bins[links.of_photo[(splits == TRAIN) & (links.of_photo >= 0)]]] = True
    held_out = links.of_photo[(splits > TRAIN) & (links.of_photo >= 0)]

    trained_sets = sets.of_photo[(splits == TRAIN) & (sets.of_photo >= 0)]
    trained_items[sets.select(np.unique(trained_sets))[0]] = True
    items, place = sets.select(np.arange(len(sets)))
    shares_item = np.zeros(len(sets), bool)
    shares_item[place[trained_items[items]]] = True
    return Overlap(
        photos=int(np.count_nonzero(splits > TRAIN)),
        same_bin=int(np.count_nonzero(trained_bins[bins[held_out]])),
        same_item=int(np.count_nonzero(shares_item[sets.of_photo[(splits > TRAIN) & (sets.of_photo >= 0)]])),
    )
