"""The item sets of photos, and what is connected by pairs, as arithmetic without I/O.

Bins are photographed repeatedly while a few items are added and removed, so photos of the same physical bin have the
same or alike item sets (alike.py). All data is in arrays: half a million photos with few items take seconds, and a few
hundred bytes each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class ItemSets:
    """The distinct item sets of all photos.

    `of_photo` is each photo's set, -1 for an empty bin. Set s holds `items[offsets[s]:offsets[s + 1]]`: numbers of
    items, ascending from the rarest.
    """

    of_photo: Integers
    offsets: Integers
    items: Integers

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def sizes(self) -> Integers:
        """Number of items per set."""
        return np.diff(self.offsets)

    @property
    def kinds(self) -> int:
        """An upper limit of the item numbers."""
        return int(self.items.max(initial=-1)) + 1

    def select(self, sets: Integers) -> tuple[Integers, Integers]:
        """The items of `sets`, one set after another, and for each item the position of its set in `sets`."""
        sizes = self.sizes[sets]
        place = np.repeat(np.arange(len(sets)), sizes)
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return self.items[np.repeat(self.offsets[:-1][sets], sizes) + within], place


def item_sets(asins: pa.ChunkedArray) -> ItemSets:
    """The sets in a column of lists of item ids; the order and repetitions in a list do not matter."""
    lists = asins.combine_chunks()
    photos = len(lists)
    lengths = np.asarray(lists.value_lengths().fill_null(0), dtype=np.int64)
    coded = lists.flatten().dictionary_encode()
    photo = np.repeat(np.arange(photos), lengths)
    code = np.asarray(coded.indices.fill_null(-1), dtype=np.int64)
    photo, code = photo[code >= 0], code[code >= 0]
    photo, item = sorted_pairs(photo, _rarity(photo, code, coded.dictionary)[code])
    offsets = np.concatenate([[0], np.cumsum(np.bincount(photo, minlength=photos))])
    return _distinct(ItemSets(np.arange(photos), offsets, item))


def _rarity(photo: Integers, code: Integers, names: pa.Array) -> Integers:
    """Rank of each item, the rarest first, so that two sets share items near their start."""
    photo, code = sorted_pairs(photo, code)
    frequency = np.bincount(code, minlength=len(names))
    alphabetical = np.empty(len(names), np.int64)
    alphabetical[np.asarray(pc.array_sort_indices(names))] = np.arange(len(names))
    place = np.empty(len(names), np.int64)
    place[np.lexsort((alphabetical, frequency))] = np.arange(len(names))
    return place


def sorted_pairs(major: Integers, minor: Integers) -> tuple[Integers, Integers]:
    """Pairs of numbers from zero on in order, each once."""
    width = int(minor.max(initial=0)) + 1
    keys = np.sort(major * width + minor)
    keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])] if len(keys) else keys
    return keys // width, keys % width


def _distinct(every: ItemSets) -> ItemSets:
    """One set for all photos with the same items, by a hash of 128 bits of the items."""
    filled = np.flatnonzero(every.sizes)
    first, second = (_set_hashes(every, filled, seed) for seed in (0x9E3779B97F4A7C15, 0xD1B54A32D192ED03))
    order = np.lexsort((filled, second, first))
    new = np.ones(len(order), bool)
    new[1:] = (first[order][1:] != first[order][:-1]) | (second[order][1:] != second[order][:-1])
    of_photo = np.full(len(every), -1)
    of_photo[filled[order]] = np.cumsum(new) - 1
    kept = filled[order[new]]
    items, _ = every.select(kept)
    return ItemSets(of_photo, np.concatenate([[0], np.cumsum(every.sizes[kept])]), items)


def _set_hashes(sets: ItemSets, filled: Integers, seed: int) -> NDArray[np.uint64]:
    """A number for each filled set: the sum over its items."""
    z = mixed(sets.items, seed)
    return np.add.reduceat(z, sets.offsets[:-1][filled]) if len(filled) else z[:0]


def mixed(numbers: Integers, seed: int) -> NDArray[np.uint64]:
    """Evenly spread numbers, one for each number, mixed as in SplitMix64 (Steele, Lea, Flood, 2014)."""
    z = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(seed)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def connect(count: int, pairs: Integers) -> Integers:
    """Connected components of `count` nodes under `pairs`: for each node the smallest node of its component."""
    root = np.arange(count)
    a, b = pairs[:, 0], pairs[:, 1]
    while True:
        lowest = np.minimum(root[a], root[b])
        if (root[a] == root[b]).all():
            return root
        np.minimum.at(root, root[a], lowest)
        np.minimum.at(root, root[b], lowest)
        while (root != root[root]).any():
            root = root[root]
