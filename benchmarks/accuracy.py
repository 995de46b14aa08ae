"""Accuracy of the training step's recipe, against a recipe as in tutorials.

Real photos, quantities 0 to 5, a grouped split by the shard step; the same photos, split, network and time (of the
processor; on a GPU by the clock) for both, over several seeds. It takes one to three hours on two cores; with
`--keep FOLDER` an interrupted run continues.
"""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
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
LEAST_ACCURACY = 0.395  # promised share of right counts
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
    """The settings of a training, besides those of its recipe."""

    architecture: str
    size: int
    epochs: int
    seeds: int
    count: int
    bf16: bool
    has_gpu: bool
    is_whole: bool
    """Whether the photos, epochs and network are those of the promised figures."""
    weights: str = ""
    """The URI or file of EfficientNet-Lite0's initial weights; empty: random ones."""

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
        ours, naive = trained(options, plan, plan, *real_photos.shard(options, bucket))
    yield compared("accuracy", ours, naive, LEAST_ACCURACY if plan.is_whole else None)
    most = Bound("ratio", "at most", 1.0)
    yield Case("accuracy-rmse", "objects", mean(ours, "rmse"), mean(naive, "rmse"), bounds=(most,))
    yield Case("accuracy-rmse-expected", "objects", mean(ours, "rmse_expected"), mean(naive, "rmse_expected"))
    yield from confidence("accuracy", ours)


def compared(name: str, ours: list[Result], naive: list[Result], limit: float | None) -> Case:
    """The accuracy of both, means over the seeds; each result and the bounds of the difference go to stderr."""
    for side, results in (("ours", ours), ("baseline", naive)):
        for number, result in enumerate(results, 1):
            say(f"{side}, seed {number}: {result.line()}")
    low, high = bootstrap(ours, naive)
    verdict = "holds" if low > 0 else "DOES NOT HOLD"
    say(f"{name}: {100 * low:+.1f} to {100 * high:+.1f} points in 95% of draws; promised is above zero: {verdict}")
    bounds = (Bound("ratio", "at least", 1.0), _LEAST)
    return Case(name, "share right", mean(ours, "accuracy"), mean(naive, "accuracy"), limit=limit, bounds=bounds)


def trained(
    options: Options, ours: Plan, naive: Plan, base: Path, bins: dict[str, int]
) -> tuple[list[Result], list[Result]]:
    """The results of our recipe by the plan `ours` and of the naive one by `naive`, in the same time, by seed."""
    kept = _kept(options)
    results: tuple[list[Result], list[Result]] = ([], [])
    for seed in range(1, ours.seeds + 1):
        # Another RECIPE has other files, also those of the naive recipe: it is given ours' time.
        name = f"{ours.architecture}-{ours.size}-{ours.epochs}"
        places = [
            kept / kept_name(f"{recipe}-{name}", seed, RECIPE, ours.count, ours.bf16) for recipe in ("ours", "naive")
        ]
        if not places[0].exists():
            shutil.move(_train("ours", ours, seed, base, options), places[0])
        if not places[1].exists():
            shutil.move(_train("naive", naive, seed, base, options, seconds=_seconds(places[0])), places[1])
        say(f"seed {seed}: {_seconds(places[0]):.0f} s, naive {_seconds(places[1]):.0f} s")
        for side, place in zip(results, places, strict=True):
            side.append(read_result(place, bins))
    return results


def _kept(options: Options) -> Path:
    kept = options.keep or options.folder
    kept.mkdir(parents=True, exist_ok=True)
    return kept


def confidence(name: str, results: list[Result]) -> Iterator[Case]:
    """What the probabilities are worth: the surest half, the calibration error, and the sets over ten splits."""
    gained = statistics.mean(result.at_half - result.accuracy for result in results)
    yield Case(f"{name}-surest-half", "share right, above all", gained, limit=0.15, bounds=(_LEAST,))
    errors = statistics.mean(result.calibration_error for result in results)
    yield Case(f"{name}-calibration-error", "share", errors, limit=0.05, bounds=(_MOST,))
    coverages = [result.set_coverage(seed) for result in results for seed in range(SPLITS)]
    say(f"sets at {LEVEL:.0%}: {', '.join(f'{coverage:.3f}' for coverage in coverages)}")
    within = sum(0.87 <= coverage <= 0.93 for coverage in coverages)
    say(f"{within} of {len(coverages)} are within 87% and 93%; their mean is {statistics.mean(coverages):.3f}")
    own = statistics.mean(result.own_set_coverage for result in results)
    yield Case(f"{name}-sets-least", "share of bins", own, limit=0.87, bounds=(_LEAST,))
    yield Case(f"{name}-sets-most", "share of bins", own, limit=0.93, bounds=(_MOST,))


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
        begin = {"weights": plan.weights} if plan.weights else {}
        values = {**RECIPE, **shared, "precision": "bf16" if plan.bf16 else "auto", **begin}
        flags = [text for name, value in values.items() for text in (f"--{name}", str(value))]
        contender = training.lite0 if plan.weights else training.ours
        measured = measure(contender, {**common, "flags": flags}, environment)
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


def _seconds(place: Path) -> float:
    """The time of a training: by the clock on a GPU, else that of the processor."""
    with np.load(place) as arrays:
        if "seconds" not in arrays:
            raise ContenderError(f"{place} is of an earlier release; remove it")
        return float(arrays["seconds"])
