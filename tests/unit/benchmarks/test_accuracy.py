import numpy as np
import pytest

from benchmarks.accuracy import Result, bootstrap


def result(right: int, photos: int = 200) -> Result:
    """Of `photos` photos of one object, the first `right` are counted right and the others as three objects."""
    probabilities = np.zeros((photos, 3), np.float32)
    probabilities[:right, 1] = 1
    probabilities[right:, 2] = 1
    return Result(probabilities, np.ones(photos, np.int64), [0, 1, 3])


def test_accuracy_and_rmse_are_those_of_the_likeliest_count():
    assert result(150).accuracy == 0.75
    assert result(150).rmse == pytest.approx(1.0)  # a quarter is two off


def test_the_expectation_lies_between_the_classes():
    probabilities = np.tile(np.array([0.5, 0.0, 0.5], np.float32), (4, 1))
    expected = Result(probabilities, np.ones(4, np.int64), [0, 1, 3])
    assert (expected.rmse, expected.rmse_expected) == (1.0, 0.0)


def test_a_clear_difference_is_above_zero_in_nearly_all_draws_and_none_is_not():
    low, high = bootstrap([result(150), result(140)], [result(100), result(100)], draws=500)
    assert 0.15 < low < 0.225 < high < 0.3
    low, high = bootstrap([result(100)], [result(100)], draws=500)
    assert (low, high) == (0.0, 0.0)
