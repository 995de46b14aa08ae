"""Which group of photos goes into which split: arithmetic, no I/O.

The same photos get the same splits whatever their order and however many instances share the work: what looks like
chance is a hash of the seed and the group's name.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from steps.common.dataset import SPLITS, SplitName


@dataclass(frozen=True)
class _Group:
    """A group of photos, and how many of them show each quantity."""

    name: str
    counts: dict[int, int]


def assign(
    groups: Sequence[str], quantities: Sequence[int], fractions: Mapping[SplitName, float], seed: int
) -> list[SplitName]:
    """The split of each photo, given its group and its quantity; a group is never divided.

    `fractions` sum to 1 and say how much of every quantity each split should hold. First every split gets one group of
    every quantity, as long as there are any (training before validation before test, the rarest quantity first), so
    that small data sets miss no class. Then each group, the largest first, goes where the chi-squared distance between
    the counts and their targets grows least: of one size, groups spread in proportion to the fractions (the rule of
    Webster and Sainte-Lague), and the small ones even out what the large ones left.
    """
    pending = {group.name: group for group in _gather(groups, quantities, seed)}
    totals = Counter(quantities)
    targets = {split: {q: fractions[split] * n for q, n in totals.items()} for split in SPLITS}
    held: dict[SplitName, Counter[int]] = {split: Counter() for split in SPLITS}
    chosen: dict[str, SplitName] = {}

    def put(group: _Group, split: SplitName) -> None:
        chosen[group.name] = split
        held[split].update(group.counts)
        del pending[group.name]

    for split, quantity, candidates in _seats(list(pending.values())):
        if not held[split][quantity]:
            # Training takes the largest group and the others the smallest, which leaves their targets within reach.
            ordered = candidates if split == "train" else reversed(candidates)
            group = next((group for group in ordered if group.name in pending), None)
            if group is not None:
                put(group, split)
    for group in list(pending.values()):
        put(group, min(SPLITS, key=lambda split: _growth(group, held[split], targets[split])))
    return [chosen[group] for group in groups]


def _gather(groups: Sequence[str], quantities: Sequence[int], seed: int) -> list[_Group]:
    """The groups, the largest first, in the order of their hash where they are of one size."""
    counts: dict[str, dict[int, int]] = defaultdict(dict)
    for name, quantity in zip(groups, quantities, strict=True):
        counts[name][quantity] = counts[name].get(quantity, 0) + 1
    size = {name: sum(c.values()) for name, c in counts.items()}
    order = sorted(counts, key=lambda name: (-size[name], shuffle_key(seed, name), name))
    return [_Group(name, counts[name]) for name in order]


def _seats(groups: Sequence[_Group]) -> list[tuple[SplitName, int, list[_Group]]]:
    """Every (split, quantity) that should not stay empty, with the groups that could fill it, rarest quantity first."""
    having: dict[int, list[_Group]] = defaultdict(list)
    for group in groups:
        for quantity in group.counts:
            having[quantity].append(group)
    rarest_first = sorted(having, key=lambda quantity: (len(having[quantity]), quantity))
    return [(split, quantity, having[quantity]) for split in SPLITS for quantity in rarest_first]


def _growth(group: _Group, held: Counter[int], targets: Mapping[int, float]) -> float:
    """Half of what the sum over quantities of (held - target)^2 / target grows by, less a term all splits share."""
    return sum(n * (held[quantity] + n / 2) / targets[quantity] for quantity, n in group.counts.items())


def shuffle_key(seed: int, name: str) -> int:
    """A number that orders names as if at random: 64 bits of BLAKE2b."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest())
