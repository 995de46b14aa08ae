"""Accuracy of the training step's recipe, against a recipe as in tutorials.

Real photos, quantities 0 to 5, a grouped split by the shard step; the same photos, split, network and time (of the
processor; on a GPU by the clock) for both, over several seeds. It takes one to three hours on two cores, and
`accuracy-hour` an hour for each training; with `--keep FOLDER` an interrupted run continues.
"""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks import job, real_photos, server
from benchmarks.cases import Bound, Case, say
from benchmarks.child import ContenderError, measure
from benchmarks.contenders import training
from benchmarks.options import Options
from benchmarks.results import LEVEL, Result, bootstrap, kept_name, mean, read_result
from steps.contracts.wording import count_of

# Draws of halves of the test bins: sets are calibrated on the first and counted on the second.
SPLITS = 10
# Promised shares of right counts, and the promised RMSE of the rounded expectation in objects.
LEAST_ACCURACY, LEAST_ACCURACY_HOUR, MOST_RMSE_HOUR = 0.395, 0.42, 1.05
HOUR = 3600.0  # seconds
PROBE = 2  # epochs that are trained first, to know the time of more
COUNT = 10**6  # more photos than there are
_LEAST, _MOST = Bound("of_limit", "at least", 1.0), Bound("of_limit", "at most", 1.0)
# As in tutorials: AdamW (https://arxiv.org/abs/1711.05101) with their learning rate.
NAIVE_BATCH = 64
# Ours, besides the shared settings. The first three were chosen by `recipes` (docs/training.md), the others on
# validation photos; none on test photos.
RECIPE = {
    "progressive-resizing": "0.5",
    "random-affine": "true",
    "class-weighting": "none",
    "batch-size": "32",
    "learning-rate": "0.001",
    "weight-decay": "0.05",
    "warmup-epochs": "1",
    "label-smoothing": "0.05",
    "ema-decay": "0.99",
    "patience": "0",
    "workers": "1",
}


@dataclass(frozen=True)
class Plan:
    """The settings that both recipes share."""

    architecture: str
    size: int
    epochs: int
    seeds: int
    count: int
    bf16: bool
    has_gpu: bool
    is_whole: bool
    """Whether the photos, epochs and network are those of the promised figures."""

    @classmethod
    def for_this_machine(cls, options: Options) -> Plan:
        """ResNet18 at 112 pixels on a CPU, ResNet34 at 224 on a GPU."""
        import torch

        cuda = torch.cuda.is_available()
        # Both in bf16 where the machine has it: half the time, the same accuracy.
        bf16 = cuda or torch.cpu._is_avx512_bf16_supported()
        network, size = ("resnet34", 224) if cuda else ("resnet18", 112)
        epochs = 40 if cuda else 12
        is_whole = not cuda and not options.epochs and options.count == COUNT
        chosen = options.epochs or epochs
        return cls(network, size, chosen, options.rounds, options.count, bf16, has_gpu=cuda, is_whole=is_whole)


def cases(options: Options) -> Iterator[Case]:
    """Accuracy and RMSE of both recipes, means over the seeds."""
    plan = Plan.for_this_machine(options)
    with server.bucket() as bucket:
        ours, naive = _results(options, plan, *real_photos.shard(options, bucket))
    yield _accuracy("accuracy", ours, naive, LEAST_ACCURACY if plan.is_whole else None)
    most = Bound("ratio", "at most", 1.0)
    yield Case("accuracy-rmse", "objects", mean(ours, "rmse"), mean(naive, "rmse"), bounds=(most,))
    yield Case("accuracy-rmse-expected", "objects", mean(ours, "rmse_expected"), mean(naive, "rmse_expected"))
    yield from _confidence(ours)


def hour(options: Options) -> Iterator[Case]:
    """The same with nearly an hour for each training: as many epochs as fit."""
    plan = Plan.for_this_machine(options)
    with server.bucket() as bucket:
        base, bins = real_photos.shard(options, bucket)
        if not options.epochs:
            plan = replace(plan, epochs=_epochs_of_an_hour(options, plan, base))
        ours, naive = _results(options, plan, base, bins)
    yield _accuracy("accuracy-hour", ours, naive, LEAST_ACCURACY_HOUR if plan.is_whole else None)
    limit = MOST_RMSE_HOUR if plan.is_whole else None
    error, other = (mean(results, "rmse_expected") for results in (ours, naive))
    yield Case("accuracy-hour-rmse-expected", "objects", error, other, limit=limit, bounds=(_MOST,))


def _accuracy(name: str, ours: list[Result], naive: list[Result], limit: float | None) -> Case:
    for side, results in (("ours", ours), ("baseline", naive)):
        for number, result in enumerate(results, 1):
            say(f"{side}, seed {number}: {result.line()}")
    low, high = bootstrap(ours, naive)
    verdict = "holds" if low > 0 else "DOES NOT HOLD"
    say(f"{name}: {100 * low:+.1f} to {100 * high:+.1f} points in 95% of draws; promised is above zero: {verdict}")
    bounds = (Bound("ratio", "at least", 1.0), _LEAST)
    return Case(name, "share right", mean(ours, "accuracy"), mean(naive, "accuracy"), limit=limit, bounds=bounds)


def _results(options: Options, plan: Plan, base: Path, bins: dict[str, int]) -> tuple[list[Result], list[Result]]:
    """The results of our recipe and of the naive one, which gets the same time, by seed."""
    kept = _kept(options)
    places = [[_place(kept, recipe, plan, seed) for seed in range(1, plan.seeds + 1)] for recipe in ("ours", "naive")]
    for seed, (ours, naive) in enumerate(zip(*places, strict=True), 1):
        if not ours.exists():
            shutil.move(_train("ours", plan, seed, base, options), ours)
        if not naive.exists():
            shutil.move(_train("naive", plan, seed, base, options, seconds=_seconds(ours)), naive)
        say(f"seed {seed}: {_seconds(ours):.0f} s, naive {_seconds(naive):.0f} s")
    first, second = ([read_result(place, bins) for place in side] for side in places)
    return first, second


def _epochs_of_an_hour(options: Options, plan: Plan, base: Path) -> int:
    """The epochs of our recipe in an hour, by the time of a training of PROBE epochs, which is kept as well."""
    # With progressive resizing one of two epochs has smaller photos.
    plan = replace(plan, epochs=PROBE)
    place = _place(_kept(options), "ours", plan, 1)
    if not place.exists():
        shutil.move(_train("ours", plan, 1, base, options), place)
    return max(int(PROBE * HOUR / _seconds(place)), 1)


def _kept(options: Options) -> Path:
    kept = options.keep or options.folder
    kept.mkdir(parents=True, exist_ok=True)
    return kept


def _confidence(results: list[Result]) -> Iterator[Case]:
    """What the probabilities are worth: the surest half, the calibration error, and the sets over ten splits."""
    gained = statistics.mean(result.at_half - result.accuracy for result in results)
    yield Case("accuracy-surest-half", "share right, above all", gained, limit=0.15, bounds=(_LEAST,))
    errors = statistics.mean(result.calibration_error for result in results)
    yield Case("accuracy-calibration-error", "share", errors, limit=0.05, bounds=(_MOST,))
    coverages = [result.set_coverage(seed) for result in results for seed in range(SPLITS)]
    say(f"sets at {LEVEL:.0%}: {', '.join(f'{coverage:.3f}' for coverage in coverages)}")
    within = sum(0.87 <= coverage <= 0.93 for coverage in coverages)
    say(f"{within} of {len(coverages)} are within 87% and 93%; their mean is {statistics.mean(coverages):.3f}")
    own = statistics.mean(result.own_set_coverage for result in results)
    yield Case("accuracy-sets-least", "share of bins", own, limit=0.87, bounds=(_LEAST,))
    yield Case("accuracy-sets-most", "share of bins", own, limit=0.93, bounds=(_MOST,))


def _train(recipe: str, plan: Plan, seed: int, base: Path, options: Options, *, seconds: float = 0) -> Path:
    """Train once and return the file with the probabilities of the test photos; the naive recipe for `seconds`."""
    folder = options.folder / f"{recipe}-{plan.epochs}-{seed}"
    index = folder / "input" / "data" / "index"
    shutil.copytree(job.index(base), index)
    place = folder / "probabilities.npz"
    environment = {"SM_NUM_CPUS": str(options.threads or os.cpu_count()), "TRAINING_JOB_NAME": f"{recipe}-{seed}"}
    common: dict[str, object] = {"base": str(folder), "output": str(place)}
    if recipe == "ours":
        shared = {"architecture": plan.architecture, "image-size": plan.size, "epochs": plan.epochs, "seed": seed}
        precision = {"precision": "bf16" if plan.bf16 else "auto"}
        flags = [
            text for name, value in {**RECIPE, **shared, **precision}.items() for text in (f"--{name}", str(value))
        ]
        measured = measure(training.ours, {**common, "flags": flags}, environment)
    else:
        given = {"architecture": plan.architecture, "size": plan.size, "seconds": seconds, "seed": seed}
        arguments = {**common, **given, "batch_size": NAIVE_BATCH, "bf16": plan.bf16}
        measured = measure(training.naive, arguments, environment)
    with np.load(place) as file:
        arrays = dict(file)
    # On a GPU the processor's time is that of the loaders.
    np.savez(place, **arrays, seconds=measured.seconds if plan.has_gpu else measured.cpu_seconds)
    times = f"{measured.seconds:.0f} s, {measured.cpu_seconds:.0f} s of processor time"
    say(f"{recipe}, seed {seed}: {count_of(int(arrays['epochs']), 'epoch')}, {times}")
    return place


def _place(kept: Path, recipe: str, plan: Plan, seed: int) -> Path:
    """The file of a result; another RECIPE has another file, also of the naive one: it is given ours' time."""
    name = f"{recipe}-{plan.architecture}-{plan.size}-{plan.epochs}"
    return kept / kept_name(name, seed, RECIPE, plan.count, plan.bf16)


def _seconds(place: Path) -> float:
    """The time of a training: by the clock on a GPU, else that of the processor."""
    with np.load(place) as arrays:
        if "seconds" not in arrays:
            raise ContenderError(f"{place} is of an earlier release; remove it")
        return float(arrays["seconds"])
