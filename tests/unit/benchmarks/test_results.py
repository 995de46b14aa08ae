"""The figures of results, and the bounds of differences."""

import numpy as np
import pytest

from benchmarks.results import Result, bootstrap, draws_of_bins, kept_name


def result(right: int, photos: int = 200, per_bin: int = 1) -> Result:
    """Of `photos` photos of one object, the first `right` are counted right and the others as three objects."""
    probabilities = np.zeros((photos, 3), np.float32)
    probabilities[:right, 1] = 1
    probabilities[right:, 2] = 1
    return Result(probabilities, np.ones(photos, np.int64), np.arange(photos) // per_bin, [0, 1, 3])


def test_accuracy_and_rmse_are_those_of_the_likeliest_count():
    assert result(150).accuracy == 0.75
    assert result(150).rmse == pytest.approx(1.0)  # a quarter is two off


def test_the_expectation_lies_between_the_classes():
    probabilities = np.tile(np.array([0.5, 0.0, 0.5], np.float32), (4, 1))
    expected = Result(probabilities, np.ones(4, np.int64), np.arange(4), [0, 1, 3])
    assert (expected.rmse, expected.rmse_expected) == (1.0, 0.0)


def test_a_clear_difference_is_above_zero_in_nearly_all_draws_and_none_is_not():
    low, high = bootstrap([result(150), result(140)], [result(100), result(100)], draws=500)
    assert 0.15 < low < 0.225 < high < 0.3
    low, high = bootstrap([result(100)], [result(100)], draws=500)
    assert (low, high) == (0.0, 0.0)


def test_photos_of_a_bin_are_drawn_together():
    """Kind: an interval that is too narrow, since the same bin was counted ten times."""
    low, high = bootstrap([result(150)], [result(100)], draws=500)
    assert [weights.sum() for weights in draws_of_bins(result(150, per_bin=10), 3)] == [200, 200, 200]
    wide_low, wide_high = bootstrap([result(150, per_bin=10)], [result(100, per_bin=10)], draws=500)
    assert wide_high - wide_low > 2 * (high - low)


def test_the_surest_half_is_better_where_confidence_says_something():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.55, 0.45]], np.float32)
    few = Result(probabilities, np.array([0, 0, 0, 1]), np.arange(4), [0, 1])
    assert (few.at_half, few.accuracy) == (1.0, 0.75)


def test_sets_are_calibrated_on_bins_that_they_are_not_counted_on():
    generator = np.random.default_rng(1)
    probabilities = generator.dirichlet(np.ones(4), 4000).astype(np.float32)
    truths = (probabilities.cumsum(axis=1) < generator.random((4000, 1))).sum(axis=1).clip(max=3)
    many = Result(probabilities, truths, np.arange(4000) // 2, [0, 1, 2, 3])
    coverages = [many.set_coverage(seed) for seed in range(10)]
    assert np.mean(coverages) == pytest.approx(0.9, abs=0.02)
    assert len(set(coverages)) > 1


def test_cross_entropy_is_compared_on_the_same_draws_of_bins():
    sure, unsure = (
        Result(np.float32([[p, 1 - p]] * 40), np.zeros(40, np.int64), np.arange(40) // 2, [0, 1]) for p in (0.8, 0.5)
    )
    assert sure.cross_entropy == pytest.approx(-np.log(0.8), abs=1e-6)
    low, high = bootstrap([sure], [unsure], 100, figure="surprise")
    assert low == pytest.approx(high) == pytest.approx(np.log(0.5 / 0.8), abs=1e-6)
    assert bootstrap([sure], [unsure], 100) == (0, 0)


def test_a_result_of_other_settings_is_another_file():
    names = [kept_name("a", 1, {"size": 64, "rate": 1}, 100), kept_name("a", 1, {"rate": 1, "size": 64}, 100)]
    assert names[0] == names[1]
    others = {kept_name("a", 2, {"size": 64, "rate": 1}, 100), kept_name("a", 1, {"size": 32, "rate": 1}, 100)}
    assert len({*names, *others, kept_name("a", 1, {"size": 64, "rate": 1}, 10)}) == 4
