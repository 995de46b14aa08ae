"""Which photos show the same physical bin: arithmetic on item sets, no I/O.

Bins are photographed again and again while a few items come and go, so two photos belong together when their item
sets have a Jaccard similarity of at least one half, and so do the photos that such pairs connect (single linkage).
All such pairs are found without comparing every pair, by the prefix and the positional filter of
Bayardo, Ma, Srikant: Scaling Up All Pairs Similarity Search (WWW 2007) and
Xiao, Wang, Lin, Yu: Efficient Similarity Joins for Near Duplicate Detection (WWW 2008).
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

log = logging.getLogger(__name__)

# An item that thousands of unlike bins hold tells no bin from another, but would cost a comparison for every pair of
# them. Past this many candidates from one item, only the nearest in the order of `_by_likeness` are compared.
MAX_CANDIDATES = 1_000

ItemSet = tuple[int, ...]


def group_photos(image_ids: Sequence[str], items: Sequence[Sequence[str] | None]) -> list[str]:
    """The group of each photo, named after the smallest image id in it.

    `items` are the item ids in each photo's bin. A photo of an empty bin is a group of its own: emptiness is no
    likeness. The result does not depend on the order of the photos or of their items.
    """
    photos_of: dict[frozenset[str], list[int]] = defaultdict(list)
    alone = []
    for photo, held in enumerate(items):
        if held:
            photos_of[frozenset(held)].append(photo)
        else:
            alone.append(photo)
    roots = _connect(_encode(list(photos_of)))
    members: dict[int, list[int]] = defaultdict(list)
    for root, photos in zip(roots, photos_of.values(), strict=True):
        members[root].extend(photos)
    groups = [""] * len(image_ids)
    for together in [*members.values(), *([photo] for photo in alone)]:
        name = min(image_ids[photo] for photo in together)
        for photo in together:
            groups[photo] = name
    return groups


def _encode(sets: Sequence[frozenset[str]]) -> list[ItemSet]:
    """Items as numbers, the rarest first: what two sets share is then soonest found by their first numbers."""
    frequency = Counter(item for held in sets for item in held)
    number = {item: n for n, item in enumerate(sorted(frequency, key=lambda item: (frequency[item], item)))}
    return [tuple(sorted(number[item] for item in held)) for held in sets]


def _connect(sets: Sequence[ItemSet]) -> list[int]:
    """The root of each set's connected component under Jaccard >= 1/2. All sets are distinct and not empty."""
    parent = list(range(len(sets)))
    # For each item: by size of the set and the item's position in it, the sets that were visited already.
    index: dict[int, dict[tuple[int, int], list[int]]] = defaultdict(dict)
    skipped = 0
    for this in sorted(range(len(sets)), key=lambda s: _by_likeness(sets[s])):
        held = sets[this]
        items, ours = frozenset(held), this
        for position, item in enumerate(held[: len(held) // 2 + 1]):
            buckets = index[item]
            for candidates in _promising(buckets, len(held), position):
                skipped += max(0, len(candidates) - MAX_CANDIDATES)
                for other in candidates[-MAX_CANDIDATES:]:
                    theirs = _root(parent, other)
                    if ours != theirs and _alike(items, sets[other]):
                        parent[ours] = theirs
                        ours = theirs
            buckets.setdefault((len(held), position), []).append(this)
    if skipped:
        log.warning("%d comparisons of bins were skipped, because they only share an item that very many hold", skipped)
    return [_root(parent, s) for s in range(len(sets))]


def _by_likeness(held: ItemSet) -> tuple[int, ItemSet]:
    """Smaller sets first (the filters want it); of one size, those that share their commonest items side by side."""
    return len(held), held[::-1]


def _promising(buckets: dict[tuple[int, int], list[int]], size: int, position: int) -> Iterator[list[int]]:
    """Of the sets that hold an item, those that may share enough with a set that has it at `position`.

    For Jaccard >= 1/2, sets of sizes a and b must share at least (a + b) / 3 items, so neither is more than twice as
    large as the other. Both positions are the item's in rarest-first order: what follows it is all they can share
    besides, as anything before it that they share has already brought them together.
    """
    for (other_size, other_position), candidates in buckets.items():
        at_most = min(size - position, other_size - other_position)
        if 2 * other_size >= size and 3 * at_most >= size + other_size:
            yield candidates


def _alike(items: frozenset[int], other: ItemSet) -> bool:
    shared = len(items.intersection(other))
    return 2 * shared >= len(items) + len(other) - shared


def _root(parent: list[int], node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node
