from contextlib import nullcontext

import numpy as np
import pyarrow as pa
import pytest

from benchmarks import accuracy
from benchmarks.bins import physical_bins
from benchmarks.child import ContenderError
from benchmarks.options import Options
from benchmarks.results import Result, bootstrap, draws_of_bins
from steps.contracts.labels import SCHEMA


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


def test_photos_of_a_physical_bin_have_a_number_of_their_own():
    rows = [
        {
            "image_id": f"{n}",
            "quantity": 2,
            "asins": items,
            "image_key": f"{n}.jpg",
            "image_etag": f"e{n}",
            "image_bytes": 10,
            "bin_group": None,
        }
        for n, items in enumerate([["a", "b"], ["a", "b"], ["c"], []])
    ]
    numbers = physical_bins(pa.Table.from_pylist(rows, SCHEMA))
    assert numbers["0"] == numbers["1"]
    assert len(set(numbers.values())) == 3


@pytest.fixture
def trainings(monkeypatch, tmp_path):
    """Trainings that take 100 s per epoch and 10 s besides, and count half of the photos right."""
    done = []

    def train(recipe, plan, seed, base, options, *, seconds=0):
        done.append((recipe, plan.epochs, seed, seconds))
        place = options.folder / f"{len(done)}.npz"
        figures = result(100)
        arrays = {"probabilities": figures.probabilities, "quantities": figures.quantities, "classes": [0, 1, 3]}
        ids = np.arange(200).astype(str)
        np.savez(place, **arrays, ids=ids, seconds=seconds or 10 + 100 * plan.epochs, calibration="")
        return place

    monkeypatch.setattr(accuracy, "_train", train)
    monkeypatch.setattr(
        accuracy.real_photos, "shard", lambda *_: (tmp_path, {str(number): number for number in range(200)})
    )
    monkeypatch.setattr(accuracy.server, "bucket", lambda: nullcontext("bucket"))
    return done


def test_the_naive_recipe_gets_the_time_of_ours(trainings, tmp_path):
    options = Options(folder=tmp_path, rounds=2, count=accuracy.COUNT, baseline_count=1, keep=tmp_path / "kept")
    [first, *_] = accuracy.hour(options)
    # An hour, at 210 s for two epochs, which are tried first.
    epochs = 34
    ours, naive = ("ours", epochs, 1, 0), ("naive", epochs, 1, 3410)
    assert trainings[:3] == [("ours", 2, 1, 0), ours, naive]
    assert [each[2] for each in trainings[3:]] == [2, 2]
    assert (first.name, first.ours, first.limit) == ("accuracy-hour", 0.5, accuracy.LEAST_ACCURACY_HOUR)
    again = [case.line() for case in accuracy.hour(options)]
    assert len(trainings) == 5
    assert again[0] == first.line()


def test_the_promise_is_of_all_photos_and_epochs(trainings, tmp_path):
    options = Options(folder=tmp_path, rounds=1, count=500, baseline_count=1)
    assert [case.limit for case in accuracy.hour(options)] == [None, None]


def test_another_recipe_is_trained_again(trainings, tmp_path, monkeypatch):
    options = Options(folder=tmp_path, rounds=1, count=500, baseline_count=1, epochs=3, keep=tmp_path / "kept")
    list(accuracy.hour(options))
    list(accuracy.hour(options))
    assert len(trainings) == 2
    monkeypatch.setitem(accuracy.RECIPE, "weight-decay", "0.1")
    list(accuracy.hour(options))
    assert [recipe for recipe, *_ in trainings] == ["ours", "naive", "ours", "naive"]


def test_a_training_of_an_earlier_release_is_not_compared(trainings, tmp_path):
    options = Options(folder=tmp_path, rounds=1, count=accuracy.COUNT, baseline_count=1, epochs=3, keep=tmp_path)
    list(accuracy.hour(options))
    [place] = tmp_path.glob("naive-*.npz")
    with np.load(place) as file:
        arrays = dict(file)
    del arrays["seconds"]
    np.savez(place, **arrays)
    with pytest.raises(ContenderError, match="earlier release; remove it"):
        list(accuracy.hour(options))


def test_cross_entropy_is_compared_on_the_same_draws_of_bins():
    sure, unsure = (
        Result(np.float32([[p, 1 - p]] * 40), np.zeros(40, np.int64), np.arange(40) // 2, [0, 1]) for p in (0.8, 0.5)
    )
    assert sure.cross_entropy == pytest.approx(-np.log(0.8), abs=1e-6)
    low, high = bootstrap([sure], [unsure], 100, figure="surprise")
    assert low == pytest.approx(high) == pytest.approx(np.log(0.5 / 0.8), abs=1e-6)
    assert bootstrap([sure], [unsure], 100) == (0, 0)
