"""The assignment of groups of photos to splits: arithmetic, without I/O.

The same photos get the same splits in any order and by any engine: pseudo-random choices are a hash of the seed and a
name.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from steps.contracts.dataset import SPLITS, SplitName

# A split is its position in SPLITS. This stands for a group without a split.
NEW = -1
# Number of photos per split and quantity.
QuantityCounts = Mapping[SplitName, Counter[int]]
Integers = NDArray[np.int64]


def shuffle_key(seed: int, name: str) -> int:
    """A number that orders names pseudo-randomly: 64 bits of BLAKE2b."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest())


def shuffle_keys(seed: int, names: pa.Array) -> pa.Array:
    """`shuffle_key` of each name as a signed number with the highest bit turned over, so that its order is the same."""
    start = f"{seed}:".encode()
    digests = b"".join(hashlib.blake2b(start + name.as_py().encode(), digest_size=8).digest() for name in names)
    keys = np.frombuffer(digests, ">u8").astype(np.uint64) ^ np.uint64(1 << 63)
    return pa.array(keys.view(np.int64), pa.int64())


@dataclass(frozen=True)
class Groups:
    """Groups of photos, the largest first, and those of a size in a pseudo-random order.

    Group g, called `names[g]`, has `photos[p]` photos with `quantities[p]` for each p from `starts[g]` to
    `starts[g + 1]`.
    """

    names: Integers
    starts: Integers
    quantities: NDArray[np.int32]
    numbers: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def gathered(cls, batches: Iterable[pa.RecordBatch]) -> Groups:
        """The groups of rows (grp, quantity, photos), in the order of the groups."""
        names: list[Integers] = [np.empty(0, np.int64)]
        quantities: list[NDArray[np.int32]] = [np.empty(0, np.int32)]
        numbers: list[NDArray[np.int32]] = [np.empty(0, np.int32)]
        for batch in batches:
            names.append(np.asarray(batch.column(0)).astype(np.int64))
            quantities.append(np.asarray(batch.column(1)).astype(np.int32))
            numbers.append(np.asarray(batch.column(2)).astype(np.int32))
        name = np.concatenate(names)
        begins = np.flatnonzero(np.concatenate([[True], name[1:] != name[:-1]])) if len(name) else name
        return cls(name[begins], np.append(begins, len(name)), np.concatenate(quantities), np.concatenate(numbers))

    @property
    def sizes(self) -> Integers:
        """Photos of each group."""
        return np.add.reduceat(self.numbers, self.starts[:-1], dtype=np.int64) if len(self) else self.names

    @property
    def largest(self) -> int:
        """Photos of the largest group."""
        return int(self.sizes[0]) if len(self) else 0

    @property
    def photos(self) -> int:
        """Photos of all groups."""
        return int(self.numbers.sum(dtype=np.int64))


def assign(groups: Groups, counts: QuantityCounts, fractions: Mapping[SplitName, float]) -> NDArray[np.int8]:
    """The split (its position in SPLITS) of each group; a group is never divided.

    `counts` are the photos that the splits have already, and `fractions`, which sum to 1, the share of every quantity
    that each split should have in the end. First every split without a photo of a quantity gets one group with it, as
    long as there are any (training before validation before test, the rarest quantity first), so that small data sets
    miss no class. Then each group, the largest first, gets the split for which the chi-squared distance between the
    counts and their targets grows least: groups of one size spread in proportion to the fractions (the rule of Webster
    and Sainte-Lague), and small groups even out what large ones left.
    """
    state = _State(groups, counts, fractions)
    state.fill_empty()
    singles = int(np.searchsorted(-groups.sizes, -1))
    state.put_in_order(singles)
    state.put_singles(singles)
    return state.chosen


class _State:
    """The counts while groups are put into splits."""

    def __init__(self, groups: Groups, counts: QuantityCounts, fractions: Mapping[SplitName, float]) -> None:
        self.groups = groups
        self.current = {split: Counter(counts[split]) for split in SPLITS}
        kinds, place = np.unique(groups.quantities, return_inverse=True)
        new = np.bincount(place, weights=groups.numbers, minlength=len(kinds)).astype(np.int64)
        totals = Counter(dict(zip(kinds.tolist(), new.tolist(), strict=True)))
        for numbers in self.current.values():
            totals.update(numbers)
        self.targets = {split: {quantity: fractions[split] * n for quantity, n in totals.items()} for split in SPLITS}
        self.kinds: list[int] = kinds.tolist()
        self.chosen = np.full(len(groups), NEW, np.int8)

    def _profile(self, group: int) -> list[tuple[int, int]]:
        pieces = slice(*self.groups.starts[group : group + 2].tolist())
        return list(zip(self.groups.quantities[pieces].tolist(), self.groups.numbers[pieces].tolist(), strict=True))

    def _put(self, group: int, profile: list[tuple[int, int]], split: SplitName) -> None:
        self.chosen[group] = SPLITS.index(split)
        for quantity, number in profile:
            self.current[split][quantity] += number

    def fill_empty(self) -> None:
        """Put a group with each quantity that a split has not into it."""
        owners = np.repeat(np.arange(len(self.groups)), np.diff(self.groups.starts))
        having = {quantity: owners[self.groups.quantities == quantity] for quantity in self.kinds}
        for split in SPLITS:
            for quantity in sorted(having, key=lambda q: (len(having[q]), q)):
                if not self.current[split][quantity]:
                    # Training gets the largest group, and the others the smallest, to stay within their targets.
                    candidates = having[quantity] if split == "train" else having[quantity][::-1]
                    free = next((group for group in map(int, candidates) if self.chosen[group] == NEW), None)
                    if free is not None:
                        self._put(free, self._profile(free), split)

    def put_in_order(self, end: int) -> None:
        """Put the groups before `end` that have no split."""
        starts = self.groups.starts[: end + 1].tolist()
        quantities = self.groups.quantities[: starts[-1]].tolist()
        numbers = self.groups.numbers[: starts[-1]].tolist()
        for group in np.flatnonzero(self.chosen[:end] == NEW).tolist():
            begin, stop = starts[group], starts[group + 1]
            profile = list(zip(quantities[begin:stop], numbers[begin:stop], strict=True))
            split = min(SPLITS, key=lambda split: _growth(profile, self.current[split], self.targets[split]))
            self._put(group, profile, split)

    def put_singles(self, begin: int) -> None:
        """Put the groups from `begin` on, of one photo each: those of each quantity by themselves, all at once."""
        quantities = self.groups.quantities[self.groups.starts[begin:-1]]
        free = self.chosen[begin:] == NEW
        for quantity in self.kinds:
            members = np.flatnonzero(free & (quantities == quantity)) + begin
            # The growths of each split for its next, second next, ... photo, which rise: the smallest come first.
            steps = np.arange(len(members))
            growths = [
                (self.current[split][quantity] + steps + 0.5) / self.targets[split][quantity] for split in SPLITS
            ]
            order = np.argsort(np.concatenate(growths), kind="stable")[: len(members)]
            splits = order // max(len(members), 1)
            self.chosen[members] = splits
            for place, split in enumerate(SPLITS):
                self.current[split][quantity] += int(np.count_nonzero(splits == place))


def _growth(profile: list[tuple[int, int]], counts: Counter[int], targets: Mapping[int, float]) -> float:
    """Half of the growth of the sum over quantities of (count - target)^2 / target, less a term common to all."""
    return sum(number * (counts[quantity] + number / 2) / targets[quantity] for quantity, number in profile)
