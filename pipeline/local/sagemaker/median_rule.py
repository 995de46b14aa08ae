"""The documented rule of TrainingJobEarlyStoppingType Auto: numbers in, a verdict out.

https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-early-stopping.html: after each epoch, the
running average of the objective of every previous training job up to the same epoch; when the job's own value is worse
than the median of these averages, the job is stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean, median


def falls_behind(values: Sequence[float], previous: Iterable[Sequence[float]], *, maximize: bool) -> bool:
    """Whether a job with the objective's `values`, one an epoch so far, is stopped after the last of them.

    `previous` are the values of the jobs that ended before. A job that did not get as far has no average up to the same
    epoch and is left out; with no other left, nothing is known to be better.
    """
    epoch = len(values)
    averages = [fmean(others[:epoch]) for others in previous if len(others) >= epoch > 0]
    if not averages:
        return False
    middle = median(averages)
    return values[-1] < middle if maximize else values[-1] > middle
