"""The charts about a data set: of the query step's page, and of the console."""

from __future__ import annotations

from collections.abc import Mapping

from steps.contracts.exploration import Distribution, Exploration, Frequencies
from steps.reports.charts import Bar, Drawing, bars

MEASURE_HEAD = ("measure", "items", "units", "missing", "median", "95th percentile", "largest", "in other units")
# Bars of one chart; one more shows the rest.
MOST_BARS = 25
_WORDS = {"lb": "pounds", "kg": "kilograms", "in": "inches", "cm": "centimetres"}


def quantities(totals: Mapping[int, int], maximum: int) -> Drawing:
    """Photos by quantity; those above `maximum`, which have no label, are faint."""
    return bars("Objects in a bin", "objects", "photos", _bars(totals, maximum))


def items(explored: Exploration, most: int) -> list[Drawing]:
    """The charts about items; `most` includes all larger numbers."""
    return [
        bars(title, below, unit, [*_bars(totals.numbers, most), *_unknown(totals.unknown)])
        for title, below, unit, totals in (
            ("Different items in a bin", "items", "photos", explored.items_per_bin),
            ("Units of an item in a bin", "units", "occurrences", explored.units_per_item),
            ("Photos that show an item", "photos", "items", explored.photos_per_item),
        )
    ]


def group_sizes(title: str, sizes: Frequencies, most: int) -> Drawing:
    """Groups by their number of photos; `most` includes all larger numbers."""
    return bars(title, "photos in a group", "groups", _bars(sizes.numbers, most))


def measures(explored: Exploration) -> list[Drawing]:
    """A chart per measure, in two units: how many units of items from each multiple of the step on."""
    return [_measure(measured) for measured in explored.measures]


def _measure(measured: Distribution) -> Drawing:
    metric, factor = measured.metric
    data = []
    for place, count in enumerate(measured.counts):
        rest = measured.is_open and place == len(measured.counts) - 1
        labels = [f"{place * measured.step * size:.3g}{'+' if rest else ''}" for size in (1.0, factor)]
        data.append(Bar(labels[0], count, faint=rest, second=labels[1]))
    below = f"from, in {_WORDS[measured.unit]} (upper) and {_WORDS[metric]} (lower)"
    return bars(f"{measured.measure.capitalize()} of an item", below, "units", data)


def measure_row(measured: Distribution) -> tuple[str, ...]:
    """A row of a table with MEASURE_HEAD: numbers of items and units, and three values in both units."""
    points = (measured.median, measured.percentile_95, measured.largest)
    values = ("" if point is None else measured.shown(point) for point in points)
    others = ", ".join(f"{unit}: {items:,}" for unit, items in measured.other_units.items())
    return (measured.measure, f"{measured.items:,}", f"{measured.units:,}", f"{measured.missing:,}", *values, others)


def _unknown(total: int) -> list[Bar]:
    return [Bar("?", total, faint=True)] if total else []


def _bars(totals: Mapping[int, int], maximum: int) -> list[Bar]:
    """A bar for each number from the smallest on, gaps too; bars above `maximum` are faint."""
    if not totals:
        return []
    first, last = min(totals), max(totals)
    shown = range(first, min(last, first + MOST_BARS - 1) + 1)
    data = [Bar(str(number), totals.get(number, 0), faint=number > maximum) for number in shown]
    beyond = sum(total for number, total in totals.items() if number not in shown)
    return [*data, Bar(f"{shown.stop}+", beyond, faint=True)] if beyond else data
