"""The paired bootstrap of the difference between two models."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.contracts.statistics.paired_bootstrap import differences
from steps.contracts.statistics.tally import Tally

triples = st.lists(st.tuples(*[st.integers(0, 5)] * 3), min_size=1, max_size=60)


def tally(truth, first, second):
    pairs = Tally()
    pairs.add(np.asarray(truth), np.asarray(first), np.asarray(second))
    return pairs


@given(triples)
def test_the_difference_is_that_of_all_photos(drawn):
    truth, first, second = (np.array(column, float) for column in zip(*drawn, strict=True))
    accuracy, rmse = differences(tally(*np.array(drawn).T))
    assert accuracy.value == pytest.approx(np.mean(truth == first) - np.mean(truth == second))
    roots = [np.sqrt(np.mean((truth - counts) ** 2)) for counts in (first, second)]
    assert rmse.value == pytest.approx(roots[0] - roots[1])


@given(triples)
def test_models_that_count_alike_differ_by_nothing_whatever_the_sample(drawn):
    truth, first, _ = np.array(drawn).T
    for difference in differences(tally(truth, first, first)):
        assert (difference.value, difference.lower, difference.upper) == (0, 0, 0)


def test_the_interval_is_that_of_a_bootstrap_which_draws_photo_by_photo():
    rng = np.random.default_rng(7)
    truth, first, second = rng.integers(0, 6, (3, 400))
    rows = rng.integers(0, 400, (4000, 400))
    drawn = (truth == first)[rows].mean(axis=1) - (truth == second)[rows].mean(axis=1)
    roots = [np.sqrt(((truth - counts) ** 2)[rows].mean(axis=1)) for counts in (first, second)]
    for found, samples in zip(differences(tally(truth, first, second)), (drawn, roots[0] - roots[1]), strict=True):
        assert (found.lower, found.upper) == pytest.approx(np.percentile(samples, (2.5, 97.5)), abs=0.01)
