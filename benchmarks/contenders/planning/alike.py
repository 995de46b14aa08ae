"""Which item sets are alike: a Jaccard similarity of at least one half. Exact arithmetic, without I/O.

Two sets of a and b items are alike if they share at least ceil((a + b) / 3) of them. So two small sets are alike
exactly if they meet in a subset of that many items, and nothing has to be compared: the work grows with the number of
sets, also where an item is in most of them. Larger sets have too many subsets. They are compared with all sets that
share an item near their start, in a time that grows with the square of the number of such sets, by the prefix and the
positional filter of
Bayardo, Ma, Srikant: Scaling Up All Pairs Similarity Search (WWW 2007) and
Xiao, Wang, Lin, Yu: Efficient Similarity Joins for Near Duplicate Detection (WWW 2008).
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.contenders.planning.groups import Integers, ItemSets, mixed, sorted_pairs

log = logging.getLogger(__name__)

# Items of the largest sets that are met in subsets: one of 8 items has up to 266.
LARGEST = 8
# Subsets that are sorted at once: about 200 MB.
SUBSETS_AT_ONCE = 4_000_000
# Pairs of larger sets whose items are compared at once, up to twice as many: about 100 MB.
PAIRS_AT_ONCE = 200_000
# Pairs of larger sets that take a minute on one core, and the number from which on they are named.
_PAIRS_PER_MINUTE, _MANY_PAIRS = 60_000_000, 120_000_000
_SEEDS = (0x9E3779B97F4A7C15, 0xD1B54A32D192ED03)
_NONE = np.empty(0, np.int64)


@dataclass(frozen=True)
class Alike:
    """Which sets are alike, in a size that is linear in the number of small sets.

    Meeting m is of the sets `sets[starts[m]:starts[m + 1]]`, which share a subset. Those that are `low` are alike to
    all others of it; the others, which are larger, to the low ones only. `pairs`, shape (pairs, 2), are of larger sets.
    """

    starts: Integers
    sets: Integers
    low: NDArray[np.bool_]
    pairs: Integers

    def edges(self, present: NDArray[np.bool_]) -> Integers:
        """Pairs of sets, shape (pairs, 2), that connect what all alike pairs among the `present` sets connect."""
        pairs = self.pairs[present[self.pairs].all(axis=1)]
        if not len(self.sets):
            return pairs
        here = present[self.sets]
        nobody = len(present)
        roots = np.minimum.reduceat(np.where(here & self.low, self.sets, nobody), self.starts[:-1])
        root = np.repeat(roots, np.diff(self.starts))
        joins = here & (root != nobody) & (root != self.sets)
        return np.concatenate([pairs, np.stack(sorted_pairs(root[joins], self.sets[joins]), axis=1)])

    def near(self, bits: Integers) -> Integers:
        """For each set the union of the `bits` of the sets that it is alike to, and perhaps of its own."""
        reached = np.zeros_like(bits)
        for side, other in ((0, 1), (1, 0)):
            np.bitwise_or.at(reached, self.pairs[:, side], bits[self.pairs[:, other]])
        if len(self.sets):
            lengths, own = np.diff(self.starts), bits[self.sets]
            every = np.repeat(np.bitwise_or.reduceat(own, self.starts[:-1]), lengths)
            of_low = np.repeat(np.bitwise_or.reduceat(np.where(self.low, own, 0), self.starts[:-1]), lengths)
            np.bitwise_or.at(reached, self.sets, np.where(self.low, every, of_low))
        return reached


def alike(sets: ItemSets) -> Alike:
    """All that is alike among `sets`."""
    lengths, members, low = [_NONE], [_NONE], [np.empty(0, bool)]
    for smaller, larger in _sizes(sets):
        of_pair = _meetings(sets, smaller, larger)
        for every, part in zip((lengths, members, low), of_pair, strict=True):
            every.append(part)
    starts = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
    return Alike(starts, np.concatenate(members), np.concatenate(low), _larger_pairs(sets))


def _sizes(sets: ItemSets) -> Iterator[tuple[int, int]]:
    """The sizes of small sets that can be alike."""
    present = [size for size in np.unique(sets.sizes).tolist() if 0 < size <= LARGEST]
    for smaller, larger in itertools.combinations_with_replacement(present, 2):
        # Two sets of one or of two items are alike only if they are the same.
        if larger <= 2 * smaller and (smaller != larger or smaller > 2):
            yield smaller, larger


def _meetings(sets: ItemSets, smaller: int, larger: int) -> tuple[Integers, Integers, NDArray[np.bool_]]:
    """The meetings of sets of these two sizes: the number of sets in each, the sets, and whether each is low."""
    shared = -(-(smaller + larger) // 3)
    sizes = sorted({smaller, larger})
    total = sum(int(np.count_nonzero(sets.sizes == size)) * math.comb(size, shared) for size in sizes)
    slices = -(-total // SUBSETS_AT_ONCE)
    found_parts = [_meetings_of_slice(sets, sizes, shared, np.uint64(n), np.uint64(slices)) for n in range(slices)]
    lengths, members, low = (np.concatenate(column) for column in zip(*found_parts, strict=True))
    return lengths, members, low


def _meetings_of_slice(
    sets: ItemSets, sizes: list[int], shared: int, number: np.uint64, slices: np.uint64
) -> tuple[Integers, Integers, NDArray[np.bool_]]:
    """The meetings in those subsets whose hash leaves the remainder `number` when divided by `slices`."""
    parts = [_subsets(sets, size, shared, number, slices) for size in sizes]
    members, first, second = (np.concatenate(column) for column in zip(*parts, strict=True))
    # Most subsets are those of a single set: the second hash decides among the others only.
    order = np.argsort(first, kind="stable")
    same = first[order][1:] == first[order][:-1]
    order = order[np.concatenate([[False], same]) | np.concatenate([same, [False]])] if len(order) else order
    order = order[np.lexsort((members[order], second[order], first[order]))]
    members, first, second = members[order], first[order], second[order]
    begins = np.ones(len(order), bool)
    begins[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    meeting = np.cumsum(begins) - 1
    low = sets.sizes[members] == sizes[0]
    lengths = np.bincount(meeting)
    meets = (lengths > 1) & (np.bincount(meeting[low], minlength=len(lengths)) > 0)
    return lengths[meets], members[meets[meeting]], low[meets[meeting]]


def _subsets(
    sets: ItemSets, size: int, shared: int, number: np.uint64, slices: np.uint64
) -> tuple[Integers, NDArray[np.uint64], NDArray[np.uint64]]:
    """The sets of `size` once per subset of `shared` items in this slice, and two hashes of 64 bits of each subset."""
    of_size = np.flatnonzero(sets.sizes == size)
    items = sets.items[sets.offsets[:-1][of_size][:, None] + np.arange(size)]
    codes = [mixed(items, seed) for seed in _SEEDS]
    members, first, second = [], [], []
    for subset in itertools.combinations(range(size), shared):
        key, other = (code[:, subset].sum(axis=1, dtype=np.uint64) for code in codes)
        here = key % slices == number
        members.append(of_size[here])
        first.append(key[here])
        second.append(other[here])
    return np.concatenate(members), np.concatenate(first), np.concatenate(second)


def _larger_pairs(sets: ItemSets) -> Integers:
    """Every alike pair with a set of more than LARGEST items, shape (pairs, 2)."""
    sizes = sets.sizes
    may_pair = np.flatnonzero(2 * sizes > LARGEST)
    if not (sizes > LARGEST).any():
        return np.empty((0, 2), np.int64)
    # In two alike sets, each has a shared item among the first half of its items and one more.
    items, place = sets.select(may_pair)
    owner = may_pair[place]
    position = np.arange(len(items)) - np.repeat(np.cumsum(sizes[may_pair]) - sizes[may_pair], sizes[may_pair])
    in_prefix = position <= sizes[owner] // 2
    items, owner, position = items[in_prefix], owner[in_prefix], position[in_prefix]
    # Among the sets with an item, the large ones last: each is compared with all before it.
    order = np.lexsort((owner, sizes[owner], items))
    items, owner, position = items[order], owner[order], position[order]
    begin = np.searchsorted(items, items)
    large = np.flatnonzero(sizes[owner] > LARGEST)
    candidates = int((large - begin[large]).sum())
    if candidates > _MANY_PAIRS:
        log.warning(
            "%d pairs of bins with more than %d items share items, and are compared: about %d minutes",
            *(candidates, LARGEST, math.ceil(candidates / _PAIRS_PER_MINUTE)),
        )
    alike_pairs = [np.empty((0, 2), np.int64)]
    for later, earlier in _candidates(large, begin):
        # Besides this item they can only share items after it in both: a shared item before it makes them candidates
        # by itself.
        size, other = sizes[owner[later]], sizes[owner[earlier]]
        may_be = 3 * np.minimum(size - position[later], other - position[earlier]) >= size + other
        pairs = np.stack([owner[earlier[may_be]], owner[later[may_be]]], axis=1)
        alike_pairs.append(_shared_enough(sets, pairs))
    both = np.sort(np.concatenate(alike_pairs), axis=1)
    return np.stack(sorted_pairs(both[:, 0], both[:, 1]), axis=1)


def _candidates(entries: Integers, begin: Integers) -> Iterator[tuple[Integers, Integers]]:
    """Each of `entries` with each entry from its `begin` up to it, some PAIRS_AT_ONCE at a time."""
    numbers = entries - begin[entries]
    for chunk in np.split(np.arange(len(entries)), _cuts(numbers)):
        count = numbers[chunk]
        later = np.repeat(entries[chunk], count)
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        yield later, np.repeat(begin[entries[chunk]], count) + within


def _cuts(numbers: Integers) -> Integers:
    """Where to cut so that no piece has more than twice PAIRS_AT_ONCE, unless a single number is larger."""
    batch = np.cumsum(numbers) // PAIRS_AT_ONCE
    return np.flatnonzero(np.diff(batch)) + 1


def _shared_enough(sets: ItemSets, pairs: Integers) -> Integers:
    """The `pairs` whose sets share at least half of the items in either."""
    items, place = zip(*(sets.select(pairs[:, side]) for side in (0, 1)), strict=True)
    keys = np.sort(np.concatenate(place) * sets.kinds + np.concatenate(items))
    shared = np.bincount(keys[1:][keys[1:] == keys[:-1]] // max(sets.kinds, 1), minlength=len(pairs))
    total = sets.sizes[pairs].sum(axis=1)
    similar: Integers = pairs[2 * shared >= total - shared]
    return similar
