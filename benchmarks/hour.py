"""Accuracy with an hour of processor time: from ImageNet weights, against a recipe as in tutorials from random ones.

The photos and the split of `python -m benchmarks accuracy`. Ours is EfficientNet-Lite0 by the training step, from the
weights that `make setup-pretrained` installs: with so few photos a longer training from random weights overfits. It
takes about an hour on one core per training; with `--keep FOLDER` an interrupted run continues.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from benchmarks import real_photos, server
from benchmarks.accuracy import Plan, compared, confidence, trained
from benchmarks.cases import Bound, Case
from benchmarks.contenders.lite0 import NAME
from benchmarks.imagenet_file import upload, weights_file
from benchmarks.options import Options
from benchmarks.results import mean

# Promised share of right counts, and the promised RMSE of the rounded expectation in objects.
LEAST_ACCURACY, MOST_RMSE = 0.42, 1.05
SIZE, EPOCHS = 160, 14


def cases(options: Options) -> Iterator[Case]:
    """Accuracy and RMSE of the rounded expectation of both, means over the seeds."""
    naive = Plan.for_this_machine(options)
    file = weights_file()
    with server.bucket() as bucket:
        # In fp32 on a CPU: convolutions per channel are slower in bf16 there.
        changes = {"size": SIZE, "epochs": options.epochs or EPOCHS, "bf16": naive.has_gpu}
        ours = replace(naive, architecture=NAME, weights=upload(file, bucket), **changes)
        results = trained(options, ours, naive, *real_photos.shard(options, bucket))
    yield compared("accuracy-hour", *results, LEAST_ACCURACY if naive.is_whole else None)
    limit = MOST_RMSE if naive.is_whole else None
    errors = [mean(side, "rmse_expected") for side in results]
    bounds = (Bound("of_limit", "at most", 1.0),)
    yield Case("accuracy-hour-rmse-expected", "objects", *errors, limit=limit, bounds=bounds)
    yield from confidence("accuracy-hour", results[0])
