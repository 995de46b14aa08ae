"""When a tuning job ends before it has started all of its trials.

https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-progress.html and botocore's model of
TuningJobCompletionCriteria and ResourceLimits. That such a job is Completed, and that its running trials are stopped,
is assumed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from pipeline.local.context import Request

IMPROVEMENT = 0.01  # share of the best value: "failed to improve model performance by 1% or greater"


class Completion:
    """The criteria of one job, from its start on."""

    def __init__(self, config: Request) -> None:
        criteria = config.get("TuningJobCompletionCriteria", {})
        self._maximize = config["HyperParameterTuningJobObjective"]["Type"] == "Maximize"
        self._target = criteria.get("TargetObjectiveMetricValue")
        self._patience = criteria.get("BestObjectiveNotImproving", {}).get(
            "MaxNumberOfTrainingJobsNotImproving", math.inf
        )
        self._until: float = time.monotonic() + config["ResourceLimits"].get("MaxRuntimeInSeconds", math.inf)

    @property
    def is_limited(self) -> bool:
        """Whether the job's time can be over before its trials have ended."""
        return self._until != math.inf

    def reason(self, values: Sequence[float]) -> str | None:
        """Why the job ends, by the objective values of the trials that have ended, in their order; None: it goes on."""
        if time.monotonic() >= self._until:
            return "MaxRuntimeInSeconds is over"
        if self._target is not None and any(self._reaches(value) for value in values):
            return f"the objective has reached {self._target}"
        if (failed := not_improving(values, maximize=self._maximize)) >= self._patience:
            return f"{failed} training jobs have not improved the objective"
        return None

    def _reaches(self, value: float) -> bool:
        return bool(value >= self._target if self._maximize else value <= self._target)


def not_improving(values: Sequence[float], *, maximize: bool) -> int:
    """How many of the last values are no improvement of one percent over the best value before them."""
    best, count = None, 0
    for value in values if maximize else [-value for value in values]:
        if best is None or (value >= best + IMPROVEMENT * abs(best) and value > best):
            best, count = value, 0
        else:
            count += 1
    return count
