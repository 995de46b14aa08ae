"""Which trainings the benchmarks of accuracy compare, and what they promise."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import accuracy, hour, pretrained, trainings
from benchmarks.child import ContenderError, Measured
from benchmarks.contenders import training
from benchmarks.contenders.lite0 import NAME as LITE0
from benchmarks.options import Options
from steps.contracts.artifact import Calibration

CALIBRATION = Calibration(
    temperature=1.5, level=0.9, least_probability=0.2, sure_accuracy=0.9, sure_confidence=None, bins=50
)
WEIGHTS = "s3://bucket/weights.pth"


@pytest.fixture
def done(monkeypatch, tmp_path):
    """Trainings that take 100 s per epoch and 10 s besides, and count half of the photos right; nothing is uploaded."""
    begun = []

    def measure(contender, arguments, environment):
        assert environment["SM_NUM_CPUS"]
        flags = dict(zip(arguments.get("flags", [])[::2], arguments.get("flags", [])[1::2], strict=True))
        begun.append((contender, flags or arguments))
        probabilities = np.repeat(np.float32([[0, 1, 0], [0, 0, 1]]), 100, axis=0)
        arrays = {"probabilities": probabilities, "quantities": np.ones(200, np.int64), "classes": [0, 1, 3]}
        if flags:
            # The smaller learning rate is better on validation photos from ImageNet weights, the larger from random.
            is_better = ("--weights" in flags) == (flags["--learning-rate"] == "0.0003")
            arrays |= {"calibration": CALIBRATION.model_dump_json(), "validated": float(is_better)}
        np.savez(arguments["output"], **arrays, ids=np.arange(200).astype(str), epochs=3)
        seconds = 10 + 100 * int(flags["--epochs"]) if flags else arguments["seconds"]
        return Measured(seconds=1, cpu_seconds=seconds, peak_bytes=0)

    (tmp_path / "index").mkdir()
    monkeypatch.setattr(trainings, "measure", measure)
    monkeypatch.setattr(trainings.job, "index", lambda base: base / "index")
    bins = {str(number): number for number in range(200)}
    monkeypatch.setattr(accuracy.real_photos, "shard", lambda *_: (tmp_path, bins))
    monkeypatch.setattr(accuracy.server, "bucket", lambda: nullcontext("bucket"))
    monkeypatch.setattr(trainings, "weights_file", lambda: Path("weights.pth"))
    monkeypatch.setattr(trainings, "upload", lambda file, bucket: f"s3://{bucket}/{file.name}")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    return begun


def options(tmp_path, **given):
    return Options(**{"folder": tmp_path, "rounds": 1, "count": trainings.COUNT, "baseline_count": 1, **given})


def test_the_naive_recipe_gets_the_time_of_ours_which_begins_with_imagenet_weights(done, tmp_path):
    chosen = options(tmp_path, rounds=2, keep=tmp_path / "kept")
    first = [case.line() for case in accuracy.cases(chosen)]
    assert [contender for contender, _ in done] == 2 * [training.lite0, training.naive]
    ours, naive = done[0][1], done[1][1]
    expected = ["weights", "architecture", "epochs", "precision", "mirrored-answers", "progressive-resizing"]
    assert [ours[f"--{name}"] for name in expected] == [WEIGHTS, LITE0, str(accuracy.EPOCHS), "auto", "true", "0"]
    shared = {"architecture": "resnet18", "size": 112, "bf16": True, "seconds": 10 + 100 * accuracy.EPOCHS, "seed": 1}
    assert {name: naive[name] for name in shared} == shared
    assert [flags.get("--seed") or flags["seed"] for _, flags in done] == ["1", 1, "2", 2]
    assert [case.line() for case in accuracy.cases(chosen)] == first
    assert len(done) == 4


def test_both_begin_with_random_weights_where_the_recipes_alone_are_compared(done, tmp_path):
    names = [case.name for case in accuracy.from_random_weights(options(tmp_path))]
    assert names[:2] == ["accuracy-random", "accuracy-random-rmse"]
    assert [contender for contender, _ in done] == [training.ours, training.naive]
    ours = done[0][1]
    assert "--weights" not in ours
    assert (ours["--architecture"], ours["--precision"], ours["--progressive-resizing"]) == ("resnet18", "bf16", "0.5")
    assert done[1][1]["seconds"] == 1210


def test_a_gpu_compares_a_larger_network_from_random_weights(done, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    [case, *_] = accuracy.cases(options(tmp_path))
    assert case.limit is None
    assert [contender for contender, _ in done] == [training.ours, training.naive]
    # By the clock there.
    assert (done[0][1]["--architecture"], done[1][1]["size"], done[1][1]["seconds"]) == ("resnet34", 224, 1)


def test_an_hour_is_our_training_alone(done, tmp_path):
    first, second, third, *_ = hour.cases(options(tmp_path, rounds=2))
    assert [contender for contender, _ in done] == 2 * [training.lite0]
    assert (done[0][1]["--epochs"], done[0][1]["--best-epoch-by"]) == (str(hour.EPOCHS), "loss")
    assert (first.name, first.ours, first.baseline, first.limit) == ("accuracy-hour", 0.5, None, hour.LEAST_ACCURACY)
    assert (second.name, second.limit) == ("accuracy-hour-rmse-expected", hour.MOST_RMSE)
    assert (third.name, third.ours, third.limit) == ("accuracy-hour-seconds", 10 + 100 * hour.EPOCHS, 3600)


def test_each_beginning_has_the_learning_rate_that_is_better_on_validation_photos(done, tmp_path):
    list(pretrained.cases(options(tmp_path, rounds=2)))
    trained = [(flags.get("--weights"), flags["--learning-rate"], flags["--seed"]) for _, flags in done]
    tried = [(begin, rate, "1") for begin in (WEIGHTS, None) for rate in pretrained.RATES]
    assert [each for each in trained if each[2] == "1"] == tried
    assert [each for each in trained if each[2] == "2"] == [(WEIGHTS, "0.0003", "2"), (None, "0.001", "2")]


@pytest.mark.parametrize("benchmark", [accuracy, hour])
@pytest.mark.parametrize("changed", [{"count": 500}, {"epochs": 3}])
def test_the_promise_is_of_all_photos_and_epochs(done, tmp_path, benchmark, changed):
    [first, second, *_] = benchmark.cases(options(tmp_path, **changed))
    assert [first.limit, second.limit] == [None, None]


def test_another_recipe_is_trained_again(done, tmp_path, monkeypatch):
    chosen = options(tmp_path, epochs=3, keep=tmp_path / "kept")
    list(accuracy.cases(chosen))
    list(accuracy.cases(chosen))
    assert len(done) == 2
    monkeypatch.setitem(trainings.LITE0_RECIPE, "weight-decay", "0.1")
    list(accuracy.cases(replace(chosen, folder=tmp_path / "second")))
    assert [contender for contender, _ in done] == 2 * [training.lite0, training.naive]
    list(accuracy.cases(replace(chosen, folder=tmp_path / "third", count=600)))
    assert len(done) == 6


def test_a_training_of_an_earlier_release_is_not_compared(done, tmp_path):
    chosen = options(tmp_path, epochs=3, keep=tmp_path / "kept")
    list(accuracy.cases(chosen))
    [place] = (tmp_path / "kept").glob("naive-as-long-as-*.npz")
    with np.load(place) as file:
        arrays = dict(file)
    del arrays["seconds"]
    np.savez(place, **arrays)
    with pytest.raises(ContenderError, match="earlier release; remove it"):
        list(accuracy.cases(chosen))
