"""Which photo goes into which split: arithmetic, no I/O.

The same photos get the same splits whatever their order and however many instances share the work: what looks like
chance is a hash of the seed and a name. A photo that is known from an earlier run keeps its split.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from steps.contracts.dataset import SPLITS, SplitName
from steps.shard.groups import Integers, ItemSets, connect

# A split is its place in SPLITS. These stand for a photo that has none yet, and for one that stands between two.
NEW, SET_ASIDE = -1, -2

# How many photos of each quantity a group has. Most groups share one of a few profiles.
Profile = tuple[tuple[int, int], ...]
# How many photos of each quantity each split holds.
Held = Mapping[SplitName, Counter[int]]


def join_known(known: Integers, sets: ItemSets, pairs: Integers) -> tuple[Integers, Integers]:
    """Each photo's split as far as it follows from those of known photos, and each photo's group.

    `known` is each photo's split in an earlier run, or NEW; `pairs` are the alike sets. New photos that are alike form
    a group, named by the place of its first photo. A group that is alike to known photos of one split joins them
    there; one that is alike to known photos of two splits is SET_ASIDE. A known photo never moves.
    """
    bits = np.zeros(len(sets), np.int64)
    filled = sets.of_photo >= 0
    held = filled & (known != NEW)
    np.bitwise_or.at(bits, sets.of_photo[held], 1 << known[held])
    fresh = bits == 0
    root = connect(len(sets), pairs[fresh[pairs].all(axis=1)])
    near = bits.copy()
    for here, there in ((0, 1), (1, 0)):
        edges = pairs[~fresh[pairs[:, there]]]
        np.bitwise_or.at(near, root[edges[:, here]], bits[edges[:, there]])

    split_of_bits = np.full(1 << len(SPLITS), SET_ASIDE)
    split_of_bits[[0, *(1 << place for place in range(len(SPLITS)))]] = [NEW, *range(len(SPLITS))]
    splits = known.copy()
    joining = filled & (known == NEW)
    splits[joining] = split_of_bits[near[root[sets.of_photo[joining]]]]
    first = np.full(len(sets), len(known))
    np.minimum.at(first, root[sets.of_photo[filled]], np.flatnonzero(filled))
    group = np.arange(len(known))
    group[filled] = first[root[sets.of_photo[filled]]]
    return splits, group


@dataclass(frozen=True)
class Grouped:
    """Photos to be assigned: for each its quantity and its group, the place of the group's name in `names`."""

    names: Sequence[str]
    group: Integers
    quantities: Integers


def assign(photos: Grouped, held: Held, fractions: Mapping[SplitName, float], seed: int) -> Integers:
    """The split (its place in SPLITS) of each photo; a group is never divided.

    `held` is what the splits hold already, and `fractions`, which sum to 1, how much of every quantity each should
    hold in the end. First every split that has
    none of a quantity gets one group of it, as long as there are any (training before validation before test, the
    rarest quantity first), so that small data sets miss no class. Then each group, the largest first, goes where the
    chi-squared distance between the counts and their targets grows least: of one size, groups spread in proportion to
    the fractions (the rule of Webster and Sainte-Lague), and the small ones even out what the large ones left.
    """
    names, group, quantities = photos.names, photos.group, photos.quantities
    held = {split: Counter(held[split]) for split in SPLITS}
    totals = Counter(quantities.tolist())
    for counts in held.values():
        totals.update(counts)
    targets = {split: {quantity: fractions[split] * n for quantity, n in totals.items()} for split in SPLITS}
    profiles = _profiles(len(names), group, quantities)
    hashes = np.fromiter((shuffle_key(seed, name) for name in names), np.uint64, len(names))
    order = np.lexsort((hashes, -np.bincount(group, minlength=len(names))))
    chosen = np.full(len(names), NEW)

    def put(member: int, split: SplitName) -> None:
        chosen[member] = SPLITS.index(split)
        for quantity, number in profiles[member]:
            held[split][quantity] += number

    having = _having(order, group, quantities)
    for split in SPLITS:
        for quantity in sorted(having, key=lambda q: (len(having[q]), q)):
            if not held[split][quantity]:
                # Training takes the largest group and the others the smallest, which leaves their targets in reach.
                candidates = having[quantity] if split == "train" else having[quantity][::-1]
                found = next((int(member) for member in candidates if chosen[member] == NEW), None)
                if found is not None:
                    put(found, split)
    for member in order.tolist():
        if chosen[member] == NEW:
            profile = profiles[member]
            put(member, min(SPLITS, key=lambda split: _growth(profile, held[split], targets[split])))
    return chosen[group]


def _profiles(groups: int, group: Integers, quantities: Integers) -> list[Profile]:
    """Each group's profile."""
    width = int(quantities.max(initial=0)) + 1
    keys, numbers = np.unique(group * width + quantities, return_counts=True)
    pieces: dict[int, list[tuple[int, int]]] = defaultdict(list)
    known: dict[Profile, Profile] = {}
    profiles: list[Profile] = [()] * groups
    for key, number in zip(keys.tolist(), numbers.tolist(), strict=True):
        pieces[key // width].append((key % width, number))
        if len(pieces) > 1:  # keys are sorted: the group before is complete
            member = next(iter(pieces))
            profile = tuple(pieces.pop(member))
            profiles[member] = known.setdefault(profile, profile)
    for member, rest in pieces.items():
        profiles[member] = tuple(rest)
    return profiles


def _having(order: Integers, group: Integers, quantities: Integers) -> dict[int, Integers]:
    """For each quantity the groups that have it, in `order`."""
    having = {}
    for quantity in np.unique(quantities).tolist():
        has = np.zeros(len(order), bool)
        has[group[quantities == quantity]] = True
        having[quantity] = order[has[order]]
    return having


def _growth(profile: Profile, held: Counter[int], targets: Mapping[int, float]) -> float:
    """Half of what the sum over quantities of (held - target)^2 / target grows by, less a term all splits share."""
    return sum(number * (held[quantity] + number / 2) / targets[quantity] for quantity, number in profile)


def shuffle_key(seed: int, name: str) -> int:
    """A number that orders names as if at random: 64 bits of BLAKE2b."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest())
