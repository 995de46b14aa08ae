"""The horizontal places of boxes and lanes: near what they are joined to, in the order of their row."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.operations.graph.ordering import Item, Row, neighbours


@dataclass(frozen=True)
class Sizes:
    """What each box or lane needs: `half` its width, and the gap between two neighbours."""

    half: Callable[[Item], float]
    gap: Callable[[Item, Item], float]


def place(rows: Sequence[Row], paths: Sequence[Sequence[Item]], sizes: Sizes) -> tuple[dict[Item, float], float]:
    """The middle of each box and lane, and the width of all."""
    above, below = neighbours(paths)
    offsets = [_offsets(row, sizes) for row in rows]
    ends = [starts[-1] + sizes.half(row[-1]) for row, starts in zip(rows, offsets, strict=True)]
    width = max(ends, default=0.0)
    middles = {
        item: at for row, starts in zip(rows, offsets, strict=True) for item, at in zip(row, starts, strict=True)
    }
    # Upwards each is above the middle of what follows it. Downwards each is below what it waits for, so chains are
    # straight; what waits for nothing stays.
    for joined, numbers in ((below, reversed(range(len(rows)))), (above, iter(range(len(rows))))):
        for number in numbers:
            _place_row(rows[number], offsets[number], width - ends[number], middles, joined)
    return middles, width


def _offsets(row: Row, sizes: Sizes) -> list[float]:
    """The middles of a row that is pushed together at the left."""
    offsets = [sizes.half(row[0])]
    for left, right in itertools.pairwise(row):
        offsets.append(offsets[-1] + sizes.half(left) + sizes.gap(left, right) + sizes.half(right))
    return offsets


def _place_row(
    row: Row, offsets: list[float], room: float, middles: dict[Item, float], joined: Mapping[Item, Sequence[Item]]
) -> None:
    """Move a row as near as possible to the mean of what each of its members is joined to.

    `room` is how far a row that is pushed together at the left can move to the right.
    """
    wanted = []
    for item, offset in zip(row, offsets, strict=True):
        others = joined.get(item, ())
        middle = sum(middles[other] for other in others) / len(others) if others else middles[item]
        wanted.append(middle - offset)
    for item, offset, shift in zip(row, offsets, ascending(wanted), strict=True):
        middles[item] = offset + min(max(shift, 0.0), room)


def ascending(values: Sequence[float]) -> list[float]:
    """The ascending numbers with the least sum of squared distances from `values`.

    Pool adjacent violators: Barlow et al., Statistical Inference under Order Restrictions (1972).
    """
    pools: list[tuple[float, int]] = []
    for value in values:
        total, count = value, 1
        while pools and pools[-1][0] * count >= total * pools[-1][1]:
            more, members = pools.pop()
            total, count = total + more, count + members
        pools.append((total, count))
    return [total / count for total, count in pools for _ in range(count)]
