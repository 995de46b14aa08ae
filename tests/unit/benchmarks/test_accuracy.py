from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import accuracy, hour
from benchmarks.child import ContenderError
from benchmarks.options import Options
from steps.contracts.artifact import Calibration

CALIBRATION = Calibration(
    temperature=1.5, level=0.9, least_probability=0.2, sure_accuracy=0.9, sure_confidence=None, bins=50
)


@pytest.fixture
def trainings(monkeypatch, tmp_path):
    """Trainings that take 100 s per epoch and 10 s besides, and count half of the photos right; nothing is uploaded."""
    done = []

    def train(recipe, plan, seed, base, options, *, seconds=0):
        done.append((recipe, plan.weights or plan.architecture, plan.epochs, seed, seconds))
        place = options.folder / f"{len(done)}.npz"
        probabilities = np.repeat(np.float32([[0, 1, 0], [0, 0, 1]]), 100, axis=0)
        arrays = {"probabilities": probabilities, "quantities": np.ones(200, np.int64), "classes": [0, 1, 3]}
        ids = np.arange(200).astype(str)
        calibration = CALIBRATION.model_dump_json() if recipe == "ours" else ""
        np.savez(place, **arrays, ids=ids, seconds=seconds or 10 + 100 * plan.epochs, calibration=calibration)
        return place

    monkeypatch.setattr(accuracy, "_train", train)
    monkeypatch.setattr(
        accuracy.real_photos, "shard", lambda *_: (tmp_path, {str(number): number for number in range(200)})
    )
    monkeypatch.setattr(accuracy.server, "bucket", lambda: nullcontext("bucket"))
    monkeypatch.setattr(hour, "weights_file", lambda: tmp_path / "weights.pth")
    monkeypatch.setattr(hour, "upload", lambda file, bucket: f"s3://{bucket}/{file.name}")
    return done


def test_the_naive_recipe_gets_the_time_of_ours(trainings, tmp_path):
    options = Options(folder=tmp_path, rounds=2, count=accuracy.COUNT, baseline_count=1, keep=tmp_path / "kept")
    first = [case.line() for case in accuracy.cases(options)]
    times = [("ours", "resnet18", 12, 0), ("naive", "resnet18", 12, 1210)]
    assert [(*each[:3], each[4]) for each in trainings] == 2 * times
    assert [each[3] for each in trainings] == [1, 1, 2, 2]
    assert [case.line() for case in accuracy.cases(options)] == first
    assert len(trainings) == 4


def test_an_hour_begins_with_imagenet_weights_and_the_naive_recipe_with_random_ones(trainings, tmp_path):
    options = Options(folder=tmp_path, rounds=1, count=accuracy.COUNT, baseline_count=1)
    first, second, *_ = hour.cases(options)
    seconds = 10 + 100 * hour.EPOCHS
    weights = "s3://bucket/weights.pth"
    assert trainings == [("ours", weights, hour.EPOCHS, 1, 0), ("naive", "resnet18", 12, 1, seconds)]
    assert (first.name, first.ours, first.limit) == ("accuracy-hour", 0.5, hour.LEAST_ACCURACY)
    assert (second.name, second.limit) == ("accuracy-hour-rmse-expected", hour.MOST_RMSE)


@pytest.mark.parametrize("benchmark", [accuracy, hour])
def test_the_promise_is_of_all_photos_and_epochs(trainings, tmp_path, benchmark):
    options = Options(folder=tmp_path, rounds=1, count=500, baseline_count=1)
    [first, second, *_] = benchmark.cases(options)
    assert [first.limit, second.limit] == [None, None]


def test_another_recipe_is_trained_again(trainings, tmp_path, monkeypatch):
    options = Options(folder=tmp_path, rounds=1, count=500, baseline_count=1, epochs=3, keep=tmp_path / "kept")
    list(accuracy.cases(options))
    list(accuracy.cases(options))
    assert len(trainings) == 2
    monkeypatch.setitem(accuracy.RECIPE, "weight-decay", "0.1")
    list(accuracy.cases(options))
    assert [recipe for recipe, *_ in trainings] == ["ours", "naive", "ours", "naive"]
    list(accuracy.cases(replace(options, count=600)))
    assert len(trainings) == 6


def test_a_training_of_an_earlier_release_is_not_compared(trainings, tmp_path):
    options = Options(folder=tmp_path, rounds=1, count=accuracy.COUNT, baseline_count=1, epochs=3, keep=tmp_path)
    list(accuracy.cases(options))
    [place] = tmp_path.glob("naive-*.npz")
    with np.load(place) as file:
        arrays = dict(file)
    del arrays["seconds"]
    np.savez(place, **arrays)
    with pytest.raises(ContenderError, match="earlier release; remove it"):
        list(accuracy.cases(options))
