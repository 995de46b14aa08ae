"""Round numbers for axes, and numbers as short labels."""

from __future__ import annotations

import math
from collections.abc import Sequence

# Significant digits of a label at most.
_MOST_DIGITS = 7


def nice_step(top: float, steps: int) -> float:
    """1, 2, 2.5 or 5 times a power of ten, so that `steps` of it reach `top`."""
    least = top / steps
    power = 10.0 ** math.floor(math.log10(least))
    return next((nice * power for nice in (1, 2, 2.5, 5) if nice * power >= least), 10 * power)


def short(value: float) -> str:
    """A count in at most five characters: 950, 12.3k, 535k, 1.2M."""
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            scaled = value / limit
            return f"{scaled:.0f}{unit}" if scaled >= 100 else f"{scaled:.1f}".removesuffix(".0") + unit
    return f"{value:g}"


def distinct(values: Sequence[float]) -> list[str]:
    """Ascending numbers as short labels that differ where the numbers do: 110k, 112k, 115k."""
    unit, factor = next(
        ((unit, factor) for unit, factor in (("M", 1e6), ("k", 1e3)) if abs(values[0]) >= factor), ("", 1.0)
    )
    numbers = list(dict.fromkeys(values))
    labels: list[str] = []
    for digits in range(2, _MOST_DIGITS + 1):
        labels = [f"{_rounded(number / factor, digits)}{unit}" for number in numbers]
        if len(set(labels)) == len(labels):
            break
    by_number = dict(zip(numbers, labels, strict=True))
    return [by_number[value] for value in values]


def _rounded(value: float, digits: int) -> str:
    """A number with `digits` significant digits, without an exponent."""
    places = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
    text = f"{round(value, places):.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def axis(values: Sequence[float], steps: int = 4) -> list[float]:
    """About `steps` round numbers, evenly spaced, that enclose the values."""
    low, high = min(values), max(values)
    # Values that differ by less than a chart can show are drawn as a level line.
    largest = max(abs(low), abs(high), 1e-6)
    if high - low <= 1e-9 * largest:
        low, high = low - largest / 10, high + largest / 10
    step = nice_step(high - low, steps)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(number * step, 12) for number in range(first, last + 1)]
