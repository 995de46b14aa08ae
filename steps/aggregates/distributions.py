"""Distributions of the items' measures: in one unit each, weighted by the units of an item in its bin."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from steps.aggregates.statements import MEASURED, MISSING, OTHER_UNIT
from steps.contracts.exploration import MEASURES, UNIT_OF, Distribution, MeasureName
from steps.reports.scales import nice_step

if TYPE_CHECKING:
    import pyarrow as pa

# Bars of a histogram, of equal width from 0 to the 99th percentile; one more has all larger values.
BARS, SHOWN_SHARE = 20, 0.99
MEDIAN, HIGH = 0.5, 0.95
# Values are rounded in floating point: such a value begins its bar.
_ROUNDING = 1e-6
# The name of all units that `statements.other_units` does not name.
MORE_UNITS = "others"
# A value with its weight.
Weighted = tuple[float, int]


def distributions(measures: pa.Table, other_units: pa.Table) -> list[Distribution]:
    """The distribution of each measure, from the rows of `statements.measures` and `statements.other_units`."""
    rows, units = measures.to_pylist(), other_units.to_pylist()
    return [
        _distribution(
            name,
            [row for row in rows if row["measure"] == name],
            {str(row["unit"]): int(row["items"]) for row in units if row["measure"] == name},
        )
        for name in MEASURES
    ]


def _distribution(name: MeasureName, rows: Sequence[dict[str, object]], units: dict[str, int]) -> Distribution:
    unit = UNIT_OF[name]
    items: Counter[object] = Counter()
    for row in rows:
        items[row["state"]] += int(str(row["items"]))
    others = items[OTHER_UNIT] - sum(units.values())
    named = {**units, MORE_UNITS: others} if others else units
    missing = items[MISSING]
    values = weighted(rows)
    if not values:
        return Distribution(measure=name, unit=unit, items=0, units=0, missing=missing, other_units=named)
    step = nice_step(percentile(values, SHOWN_SHARE), BARS)
    counts = histogram(values, step)
    return Distribution(
        measure=name,
        unit=unit,
        items=items[MEASURED],
        units=sum(weight for _, weight in values),
        missing=missing,
        other_units=named,
        median=percentile(values, MEDIAN),
        percentile_95=percentile(values, HIGH),
        largest=values[-1][0],
        step=step,
        counts=counts,
        is_open=len(counts) > BARS,
    )


def weighted(rows: Sequence[dict[str, object]]) -> list[Weighted]:
    """The values of rows of `statements.measures` with their units, in ascending order."""
    pairs = [(float(str(row["value"])), int(str(row["units"]))) for row in rows if row["state"] == MEASURED]
    return sorted((value, units) for value, units in pairs if math.isfinite(value))


def percentile(ordered: Sequence[Weighted], share: float) -> float:
    """The smallest value that, with all below it, has this share of the weights."""
    wanted = share * sum(weight for _, weight in ordered)
    reached = 0
    for value, weight in ordered:
        reached += weight
        if reached >= wanted:
            return value
    return ordered[-1][0]


def histogram(values: Sequence[Weighted], step: float) -> list[int]:
    """The weights of the values from each multiple of `step` on; the bar after BARS has all larger values."""
    counts: Counter[int] = Counter()
    for value, weight in values:
        counts[min(int(value / step * (1 + _ROUNDING)), BARS)] += weight
    return [counts[place] for place in range(max(counts) + 1)]
