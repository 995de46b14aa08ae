"""Overlap of the held-out splits with training: arithmetic, without I/O."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from steps.contracts.dataset import SPLITS, SplitName
from steps.contracts.shard_summary import Leakage, Overlap
from steps.shard.groups import Integers, ItemSets, connect

TRAIN = SPLITS.index("train")


def measure(
    splits: Integers, sets: ItemSets, pairs: Integers, keys: NDArray[np.uint64], fractions: dict[SplitName, float]
) -> Leakage:
    """The overlap of these splits, and of a random split of the same photos by the same fractions.

    `splits` is each photo's split, negative for photos that are left out; `keys` are evenly spread numbers, one per
    photo. Photos that are left out connect no bins.
    """
    used = splits >= 0
    filled = used & (sets.of_photo >= 0)
    present = np.zeros(len(sets), bool)
    present[sets.of_photo[filled]] = True
    bins = connect(len(sets), pairs[present[pairs].all(axis=1)])
    limits = np.cumsum([fractions[split] for split in SPLITS])[:-1]
    by_chance = np.where(used, np.searchsorted(limits, keys / 2.0**64, side="right"), -1)
    return Leakage(split=_overlap(splits, filled, sets, bins), random=_overlap(by_chance, filled, sets, bins))


def _overlap(splits: Integers, filled: NDArray[np.bool_], sets: ItemSets, bins: Integers) -> Overlap:
    trained = sets.of_photo[filled & (splits == TRAIN)]
    held_out = sets.of_photo[filled & (splits > TRAIN)]
    trained_bins, trained_items = np.zeros(len(sets), bool), np.zeros(sets.kinds, bool)
    trained_bins[bins[trained]] = True
    trained_items[sets.select(np.unique(trained))[0]] = True
    items, place = sets.select(np.arange(len(sets)))
    shares_item = np.zeros(len(sets), bool)
    shares_item[place[trained_items[items]]] = True
    return Overlap(
        photos=int(np.count_nonzero(splits > TRAIN)),
        same_bin=int(np.count_nonzero(trained_bins[bins[held_out]])),
        same_item=int(np.count_nonzero(shares_item[held_out])),
    )
