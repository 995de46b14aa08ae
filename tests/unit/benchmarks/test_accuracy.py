from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import accuracy
from benchmarks.child import ContenderError
from benchmarks.options import Options


@pytest.fixture
def trainings(monkeypatch, tmp_path):
    """Trainings that take 100 s per epoch and 10 s besides, and count half of the photos right."""
    done = []

    def train(recipe, plan, seed, base, options, *, seconds=0):
        done.append((recipe, plan.epochs, seed, seconds))
        place = options.folder / f"{len(done)}.npz"
        probabilities = np.repeat(np.float32([[0, 1, 0], [0, 0, 1]]), 100, axis=0)
        arrays = {"probabilities": probabilities, "quantities": np.ones(200, np.int64), "classes": [0, 1, 3]}
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
    list(accuracy.hour(replace(options, count=600)))
    assert len(trainings) == 6


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
