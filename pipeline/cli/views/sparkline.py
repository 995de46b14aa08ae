"""Small curves of block characters."""

from __future__ import annotations

from collections.abc import Sequence

# Characters of a sparkline from low to high; the second set is for terminals that have ASCII only.
BLOCKS, ASCII_BLOCKS = "▁▂▃▄▅▆▇█", "_.-=+*#@"
LONGEST_SPARKLINE = 24


def sparkline(values: Sequence[float], blocks: str = BLOCKS, width: int = LONGEST_SPARKLINE) -> str:
    """Values as characters from low to high; of more than `width` values, `width` evenly spaced ones with the last."""
    if len(values) > width:
        values = [values[round(place * (len(values) - 1) / (width - 1))] for place in range(width)]
    low, high = min(values), max(values)
    steps = len(blocks) - 1
    return "".join(blocks[round(steps * (value - low) / (high - low)) if high > low else 0] for value in values)
