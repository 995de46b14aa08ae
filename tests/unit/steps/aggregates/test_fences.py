"""Tukey's outer fences of logarithms."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from steps.aggregates.fences import fences


def test_the_fences_are_three_ranges_of_the_quartiles_away_as_factors() -> None:
    assert fences([(1.0, 1), (2.0, 1), (3.0, 1), (4.0, 1)]) == pytest.approx((1 / 27, 81.0))


def test_values_count_as_often_as_their_weights() -> None:
    assert fences([(1.0, 2), (2.0, 1), (3.0, 1)]) == fences([(1.0, 1), (1.0, 1), (2.0, 1), (3.0, 1)])


@pytest.mark.parametrize("values", [[], [(5.0, 1)], [(0.1, 1), (1.0, 8), (9.0, 1)]])
def test_without_a_spread_there_are_no_fences(values: list[tuple[float, int]]) -> None:
    assert fences(values) is None


@given(st.lists(st.floats(0.01, 100), min_size=8, max_size=60), st.floats(1e3, 1e9))
def test_a_single_fault_does_not_move_the_fences_beyond_itself(values: list[float], fault: float) -> None:
    usual = fences([(value, 1) for value in sorted(values)])
    assume(usual is not None)
    moved = fences([(value, 1) for value in sorted([*values, fault])])
    assert usual is not None
    assert moved is None or moved[1] <= (max(values) / min(values)) ** 3 * max(values)


@given(st.lists(st.floats(0.01, 100), min_size=4, max_size=60), st.floats(0.001, 1000))
def test_another_unit_moves_the_fences_by_its_size(values: list[float], size: float) -> None:
    pounds, other = (fences([(value * factor, 1) for value in sorted(values)]) for factor in (1.0, size))
    assume(pounds is not None and other is not None)
    assert other == pytest.approx([fence * size for fence in pounds or ()])
