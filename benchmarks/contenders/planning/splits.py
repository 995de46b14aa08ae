"""The assignment of photos to splits: arithmetic, without I/O.

The same photos get the same splits in any order and with any number of instances: pseudo-random choices are a hash of
the seed and a name. A photo of an earlier run keeps its split.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.contenders.planning.groups import Integers, connect
from benchmarks.contenders.planning.links import Links
from steps.contracts.dataset import SPLITS, SplitName

# A split is its position in SPLITS. These stand for a photo without a split, and for one between two splits.
NEW, SET_ASIDE = -1, -2

# Number of photos of a group per quantity. Most groups share one of a few profiles.
Profile = tuple[tuple[int, int], ...]
# Number of photos per split and quantity.
QuantityCounts = Mapping[SplitName, Counter[int]]


def join_earlier(earlier: Integers, links: Links) -> tuple[Integers, Integers]:
    """Each photo's split as far as it follows from photos of earlier runs, and each photo's group.

    `earlier` is each photo's split in an earlier run, or NEW. New photos that are linked form a group, named by the
    position of its first photo. A group that is linked to earlier photos of one split joins that split; a group that
    is linked to earlier photos of two splits is SET_ASIDE. An earlier photo never moves.
    """
    bits = np.zeros(links.count, np.int64)
    has_split = earlier[links.photos] != NEW
    np.bitwise_or.at(bits, links.nodes[has_split], 1 << earlier[links.photos[has_split]])
    # What only photos hold that are left out connects nothing.
    fresh = (bits == 0) & links.has_any(np.ones(len(earlier), bool))
    shared = links.shared(earlier == NEW)
    root = connect(links.count, np.concatenate([links.alike.edges(fresh), shared[fresh[shared].all(axis=1)]]))
    reached = links.alike.near(bits)
    # A photo in two earlier nodes is between them, and nobody else in them.
    beside = shared[fresh[shared].any(axis=1)]
    for side, other in ((0, 1), (1, 0)):
        np.bitwise_or.at(reached, beside[:, side], bits[beside[:, other]])
    near = bits.copy()
    np.bitwise_or.at(near, root, reached)

    of_photo = np.zeros(len(earlier), np.int64)
    np.bitwise_or.at(of_photo, links.photos, near[root[links.nodes]])
    split_of_bits = np.full(1 << len(SPLITS), SET_ASIDE)
    split_of_bits[[0, *(1 << place for place in range(len(SPLITS)))]] = [NEW, *range(len(SPLITS))]
    filled = links.of_photo >= 0
    splits = earlier.copy()
    joining = filled & (earlier == NEW)
    splits[joining] = split_of_bits[of_photo[joining]]
    first = np.full(links.count, len(earlier))
    np.minimum.at(first, root[links.of_photo[filled]], np.flatnonzero(filled))
    group = np.arange(len(earlier))
    group[filled] = first[root[links.of_photo[filled]]]
    return splits, group


@dataclass(frozen=True)
class Grouped:
    """Photos to assign: the quantity of each, and its group as the position of the group's name in `names`."""

    names: Sequence[str]
    group: Integers
    quantities: Integers


def assign(photos: Grouped, counts: QuantityCounts, fractions: Mapping[SplitName, float], seed: int) -> Integers:
    """The split (its position in SPLITS) of each photo; a group is never divided.

    `counts` are the photos that the splits have already, and `fractions`, which sum to 1, the share of every quantity
    that each split should have in the end. First every split without a photo of a quantity gets one group with it, as
    long as there are any (training before validation before test, the rarest quantity first), so that small data sets
    miss no class. Then each group, the largest first, gets the split for which the chi-squared distance between the
    counts and their targets grows least: groups of one size spread in proportion to the fractions (the rule of Webster
    and Sainte-Lague), and small groups even out what large ones left.
    """
    names, group, quantities = photos.names, photos.group, photos.quantities
    current = {split: Counter(counts[split]) for split in SPLITS}
    totals = Counter(quantities.tolist())
    for numbers in current.values():
        totals.update(numbers)
    targets = {split: {quantity: fractions[split] * n for quantity, n in totals.items()} for split in SPLITS}
    profiles = _profiles(len(names), group, quantities)
    hashes = np.fromiter((shuffle_key(seed, name) for name in names), np.uint64, len(names))
    order = np.lexsort((hashes, -np.bincount(group, minlength=len(names))))
    chosen = np.full(len(names), NEW)

    def put(member: int, split: SplitName) -> None:
        chosen[member] = SPLITS.index(split)
        for quantity, number in profiles[member]:
            current[split][quantity] += number

    having = _having(order, group, quantities)
    for split in SPLITS:
        for quantity in sorted(having, key=lambda q: (len(having[q]), q)):
            if not current[split][quantity]:
                # Training gets the largest group, and the other splits the smallest, to stay within their targets.
                candidates = having[quantity] if split == "train" else having[quantity][::-1]
                free = next((int(member) for member in candidates if chosen[member] == NEW), None)
                if free is not None:
                    put(free, split)
    for member in order.tolist():
        if chosen[member] == NEW:
            profile = profiles[member]
            put(member, min(SPLITS, key=lambda split: _growth(profile, current[split], targets[split])))
    return chosen[group]


def _profiles(groups: int, group: Integers, quantities: Integers) -> list[Profile]:
    """Each group's profile."""
    width = int(quantities.max(initial=0)) + 1
    keys, numbers = np.unique(group * width + quantities, return_counts=True)
    unique: dict[Profile, Profile] = {}
    profiles: list[Profile] = [()] * groups
    pairs = zip(keys.tolist(), numbers.tolist(), strict=True)
    for member, pieces in itertools.groupby(pairs, key=lambda pair: pair[0] // width):
        profile = tuple((key % width, number) for key, number in pieces)
        profiles[member] = unique.setdefault(profile, profile)
    return profiles


def _having(order: Integers, group: Integers, quantities: Integers) -> dict[int, Integers]:
    """The groups with each quantity, in `order`."""
    having = {}
    for quantity in np.unique(quantities).tolist():
        has = np.zeros(len(order), bool)
        has[group[quantities == quantity]] = True
        having[quantity] = order[has[order]]
    return having


def _growth(profile: Profile, counts: Counter[int], targets: Mapping[int, float]) -> float:
    """Half of the growth of the sum over quantities of (count - target)^2 / target, less a term common to all."""
    return sum(number * (counts[quantity] + number / 2) / targets[quantity] for quantity, number in profile)


def shuffle_key(seed: int, name: str) -> int:
    """A number that orders names pseudo-randomly: 64 bits of BLAKE2b."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest())
