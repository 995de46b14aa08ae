"""AWS's rule for stopping trials early: worse than the median of the others' running averages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.local.sagemaker.search import falls_behind

curves = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def test_a_value_below_the_median_of_the_running_averages_is_stopped_when_maximizing() -> None:
    # Running averages up to the second epoch: 0.3, 0.5 and 0.7.
    previous = [[0.2, 0.4, 0.9], [0.4, 0.6, 0.9], [0.6, 0.8, 0.9]]
    assert falls_behind([0.9, 0.49], previous, maximize=True)
    assert not falls_behind([0.0, 0.51], previous, maximize=True)


def test_a_value_above_it_is_stopped_when_minimizing() -> None:
    assert falls_behind([1.0, 0.6], [[0.5, 0.5]], maximize=False)
    assert not falls_behind([1.0, 0.4], [[0.5, 0.5]], maximize=False)


def test_a_value_that_equals_the_median_goes_on() -> None:
    assert not falls_behind([0.5], [[0.5]], maximize=True)
    assert not falls_behind([0.5], [[0.5]], maximize=False)


def test_later_epochs_of_the_others_do_not_count() -> None:
    assert not falls_behind([0.2], [[0.1, 0.9, 0.9]], maximize=True)


def test_the_median_of_an_even_number_lies_between_the_middle_two() -> None:
    assert falls_behind([0.29], [[0.2], [0.4]], maximize=True)
    assert not falls_behind([0.31], [[0.2], [0.4]], maximize=True)


def test_jobs_that_did_not_get_as_far_are_left_out() -> None:
    assert not falls_behind([0.1, 0.1], [[0.9]], maximize=True)
    assert falls_behind([0.1, 0.1], [[0.9], [0.2, 0.2]], maximize=True)


@given(curves)
def test_the_first_job_is_never_stopped(values: list[float]) -> None:
    assert not falls_behind(values, [], maximize=True)


@given(curves, st.lists(curves, max_size=6))
def test_minimizing_is_maximizing_the_negative(values: list[float], previous: list[list[float]]) -> None:
    negative = [[-value for value in curve] for curve in previous]
    assert falls_behind(values, previous, maximize=True) == falls_behind(
        [-value for value in values], negative, maximize=False
    )


@pytest.mark.parametrize("maximize", [True, False])
def test_before_the_first_epoch_there_is_nothing_to_judge(maximize: bool) -> None:
    assert not falls_behind([], [[0.5]], maximize=maximize)
