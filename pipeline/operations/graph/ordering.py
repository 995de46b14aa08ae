"""The order of boxes and lanes in each row, with few crossings of edges."""

from __future__ import annotations

import itertools
from bisect import bisect, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Passes down and up, after which graphs of this size hardly change any more.
PASSES = 8


@dataclass(frozen=True)
class Lane:
    """The place of the edge from `source` to `target` in a row between them."""

    source: str
    target: str
    row: int


Item = str | Lane
Row = list[Item]
Neighbours = Mapping[Item, Sequence[Item]]


def order(rows: Sequence[Row], paths: Sequence[Sequence[Item]]) -> list[Row]:
    """The rows in a better order: of several passes the one with the fewest crossings, the first of equals."""
    above, below = neighbours(paths)
    current = [list(row) for row in rows]
    best, fewest = current, crossings(current, below)
    for _ in range(PASSES):
        for number in range(1, len(current)):
            current[number] = _sorted(current[number], current[number - 1], above)
        if (count := crossings(current, below)) < fewest:
            best, fewest = [list(row) for row in current], count
        for number in reversed(range(len(current) - 1)):
            current[number] = _sorted(current[number], current[number + 1], below)
        if (count := crossings(current, below)) < fewest:
            best, fewest = [list(row) for row in current], count
    return best


def neighbours(paths: Sequence[Sequence[Item]]) -> tuple[Neighbours, Neighbours]:
    """What each box and lane is joined to in the row above it, and in the row below it."""
    above: dict[Item, list[Item]] = {}
    below: dict[Item, list[Item]] = {}
    for path in paths:
        for upper, lower in itertools.pairwise(path):
            above.setdefault(lower, []).append(upper)
            below.setdefault(upper, []).append(lower)
    return above, below


def crossings(rows: Sequence[Row], below: Neighbours) -> int:
    """The number of crossings between edges of neighbouring rows."""
    count = 0
    for upper, lower in itertools.pairwise(rows):
        place = {item: number for number, item in enumerate(lower)}
        ends: list[int] = []
        for item in upper:
            reached = sorted(place[target] for target in below.get(item, ()))
            count += sum(len(ends) - bisect(ends, end) for end in reached)
            for end in reached:
                insort(ends, end)
    return count


def _sorted(row: Row, fixed: Row, joined: Neighbours) -> Row:
    """A row by the mean place of what its members are joined to in the `fixed` row; others stay where they are."""
    place = {item: number for number, item in enumerate(fixed)}
    means = {item: sum(place[other] for other in joined[item]) / len(joined[item]) for item in row if joined.get(item)}
    ranked = iter(sorted(means, key=lambda item: means[item]))
    return [next(ranked) if item in means else item for item in row]
