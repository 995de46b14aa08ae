"""Photos of the same physical bin, found by arithmetic on item sets, without I/O.

Bins are photographed repeatedly while a few items are added and removed. Two photos are alike if their item sets have a
Jaccard similarity of at least one half. All alike pairs are found without comparing every pair, by the prefix and the
positional filter of
Bayardo, Ma, Srikant: Scaling Up All Pairs Similarity Search (WWW 2007) and
Xiao, Wang, Lin, Yu: Efficient Similarity Joins for Near Duplicate Detection (WWW 2008).

All data is in arrays: half a million photos take seconds, and a few hundred bytes each.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

log = logging.getLogger(__name__)

Integers = NDArray[np.int64]

# An item in thousands of unlike bins distinguishes no bin, but would cost a comparison per pair of them. Beyond this
# number of candidates from one item, only the nearest in the order of `_by_likeness` are compared.
MAX_CANDIDATES = 1_000
# Pairs whose items are compared at once: about 50 MB.
PAIRS_AT_ONCE = 200_000


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
    photo, item = _sorted_pairs(photo, _rarity(photo, code, coded.dictionary)[code])
    offsets = np.concatenate([[0], np.cumsum(np.bincount(photo, minlength=photos))])
    return _distinct(ItemSets(np.arange(photos), offsets, item))


def _rarity(photo: Integers, code: Integers, names: pa.Array) -> Integers:
    """Rank of each item, the rarest first, so that two sets share items near their start."""
    photo, code = _sorted_pairs(photo, code)
    frequency = np.bincount(code, minlength=len(names))
    alphabetical = np.empty(len(names), np.int64)
    alphabetical[np.asarray(pc.array_sort_indices(names))] = np.arange(len(names))
    place = np.empty(len(names), np.int64)
    place[np.lexsort((alphabetical, frequency))] = np.arange(len(names))
    return place


def _sorted_pairs(major: Integers, minor: Integers) -> tuple[Integers, Integers]:
    """Pairs of numbers in order, each once."""
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
    """A number for each filled set: the sum over its items, mixed as in SplitMix64 (Steele, Lea, Flood, 2014)."""
    z = (sets.items.astype(np.uint64) + np.uint64(1)) * np.uint64(seed)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return np.add.reduceat(z, sets.offsets[:-1][filled]) if len(filled) else z[:0]


def alike_pairs(sets: ItemSets) -> Integers:
    """Every pair of sets with a Jaccard similarity of at least one half, shape (pairs, 2)."""
    rank = _by_likeness(sets)
    sizes = sets.sizes
    # In two alike sets, each has a shared item among the first half of its items and one more.
    items, place = sets.select(np.arange(len(sets)))
    position = np.arange(len(items)) - np.repeat(sets.offsets[:-1], sizes)
    in_prefix = position <= sizes[place] // 2
    items, place, position = items[in_prefix], place[in_prefix], position[in_prefix]
    order = np.lexsort((rank[place], items))
    items, place, position = items[order], place[order], position[order]

    alike: list[Integers] = []
    size = sizes[place]
    earlier = np.arange(len(items))
    for distance in range(1, MAX_CANDIDATES + 1):
        earlier = earlier[earlier + distance < len(items)]
        earlier = earlier[items[earlier] == items[earlier + distance]]
        if not len(earlier):
            break
        # Sets of sizes a and b must share at least (a + b) / 3 items. Besides this item they can only share items after
        # it in both: a shared item before it makes them candidates by itself.
        later = earlier + distance
        at_most = np.minimum(size[earlier] - position[earlier], size[later] - position[later])
        may_be = 3 * at_most >= size[earlier] + size[later]
        pairs = np.stack([place[earlier[may_be]], place[later[may_be]]], axis=1)
        alike.extend(_alike(sets, pairs[n : n + PAIRS_AT_ONCE]) for n in range(0, len(pairs), PAIRS_AT_ONCE))
    else:
        log.warning(
            "%d bins were compared with their nearest only: they share an item with too many bins", len(earlier)
        )
    if not alike:
        return np.empty((0, 2), np.int64)
    both = np.sort(np.concatenate(alike), axis=1)
    return np.stack(_sorted_pairs(both[:, 0], both[:, 1]), axis=1)


def _by_likeness(sets: ItemSets) -> Integers:
    """Rank of each set: smaller sets first; among sets of one size, those with common frequent items together."""
    commonest = []
    for nth in range(1, 5):
        place = sets.offsets[1:] - nth
        commonest.append(np.where(nth <= sets.sizes, sets.items[np.maximum(place, 0)] if len(sets.items) else 0, -1))
    rank = np.empty(len(sets), np.int64)
    rank[np.lexsort((*reversed(commonest), sets.sizes))] = np.arange(len(sets))
    return rank


def _alike(sets: ItemSets, pairs: Integers) -> Integers:
    """The `pairs` whose sets share at least half of the items in either."""
    items, place = zip(*(sets.select(pairs[:, side]) for side in (0, 1)), strict=True)
    keys = np.sort(np.concatenate(place) * sets.kinds + np.concatenate(items))
    shared = np.bincount(keys[1:][keys[1:] == keys[:-1]] // max(sets.kinds, 1), minlength=len(pairs))
    total = sets.sizes[pairs].sum(axis=1)
    similar: Integers = pairs[2 * shared >= total - shared]
    return similar


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
