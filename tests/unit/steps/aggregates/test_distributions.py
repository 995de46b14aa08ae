"""Distributions of weights and sizes: in one unit, weighted by units."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from steps.aggregates import results
from steps.aggregates.distributions import BARS, distributions, histogram, percentile
from steps.contracts.exploration import Distribution
from steps.reports.scales import nice_step


def measured(*values: tuple[float, int]) -> Distribution:
    """The distribution of weights: (value, units), an item of its own each."""
    return of(*({"state": "measured", "value": value, "items": 1, "units": units} for value, units in values))


def of(*rows: dict[str, Any], others: dict[str, int] | None = None) -> Distribution:
    units = [{"measure": "weight", "unit": unit, "items": items} for unit, items in (others or {}).items()]
    table = pa.Table.from_pylist([{"measure": "weight", **row} for row in rows], results.MEASURES)
    return distributions(table, pa.Table.from_pylist(units, results.OTHER_UNITS))[0]


def test_an_item_counts_as_often_as_it_is_in_its_bin() -> None:
    weight = measured((1.0, 9), (5.0, 1))
    assert (weight.items, weight.units, weight.median, weight.largest) == (2, 10, 1.0, 5.0)
    assert sum(weight.counts) == 10


def test_items_without_a_value_are_counted_and_not_drawn() -> None:
    weight = of(
        {"state": "missing", "items": 3, "units": 5}, {"state": "measured", "value": 1.0, "items": 1, "units": 1}
    )
    assert (weight.items, weight.missing, weight.counts[-1]) == (1, 3, 1)


def test_units_beyond_the_named_ones_are_counted_together() -> None:
    weight = of({"state": "other-unit", "items": 9, "units": 9}, others={"stone": 5, "none": 1})
    assert (weight.items, weight.missing, weight.other_units) == (0, 0, {"stone": 5, "none": 1, "others": 3})
    assert (weight.median, weight.counts) == (None, [])


def test_nothing_measured_is_four_empty_distributions() -> None:
    empty = distributions(results.MEASURES.empty_table(), results.OTHER_UNITS.empty_table())
    assert [(each.measure, each.items) for each in empty] == [("weight", 0), ("length", 0), ("width", 0), ("height", 0)]


WEIGHTED = st.lists(st.tuples(st.floats(1e-6, 1e6), st.integers(1, 50)), min_size=1, max_size=200)


@given(WEIGHTED)
def test_a_histogram_counts_every_unit(values: list[tuple[float, int]]) -> None:
    values.sort()
    counts = histogram(values, nice_step(percentile(values, 0.99), BARS))
    assert sum(counts) == sum(weight for _, weight in values)
    assert len(counts) <= BARS + 1


def test_a_value_a_rounding_below_the_beginning_of_a_bar_is_in_that_bar() -> None:
    assert histogram([(4.9999999949, 3), (5.0, 2)], 1.0) == [0, 0, 0, 0, 0, 5]
    assert histogram([(0.6, 1)], 0.2) == [0, 0, 0, 1]


@given(WEIGHTED, st.floats(0, 1))
def test_a_percentile_is_a_value_with_that_share_at_or_below_it(values: list[tuple[float, int]], share: float) -> None:
    values.sort()
    point = percentile(values, share)
    total = sum(weight for _, weight in values)
    below = sum(weight for value, weight in values if value <= point)
    assert point in [value for value, _ in values]
    assert below >= share * total * (1 - 1e-9)
