"""A run as it goes: its steps in the definition's order, the tuner's trials, and following both to the end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from pipeline.clients import client
from pipeline.operations.runs.executions import Execution, describe
from pipeline.settings import Settings


@dataclass(frozen=True)
class Saving:
    """What a step from the cache saved: what it took in the run that it comes from.

    `seconds` are from that step's start to its end; `billed_seconds` those of its jobs' instances, added up. `usd` is
    what was billed for them, None where a price or a job is not known.
    """

    seconds: float
    billed_seconds: int
    usd: Decimal | None


@dataclass(frozen=True)
class StepRun:
    """A step of a run; `status` is `Waiting` until the run reaches it. `saving` is of a cached step, where known."""

    name: str
    status: str
    started: datetime | None = None
    ended: datetime | None = None
    cached_from: str = ""
    failure: str = ""
    attempts: int = 0
    metadata: Mapping[str, Any] = field(default_factory=dict)
    saving: Saving | None = None

    @property
    def cached(self) -> bool:
        """Whether an earlier run's result was taken."""
        return bool(self.cached_from)

    def arn(self, kind: str) -> str | None:
        """ARN of the step's `ProcessingJob`, `TuningJob`, `RegisterModel` or `Lambda`, once there is one."""
        arn: str | None = self.metadata.get(kind, {}).get("Arn")
        return arn


@dataclass(frozen=True)
class Trial:
    """A training job of the tuner. `objective` is there once the job has reported one."""

    name: str
    status: str
    created: datetime
    started: datetime | None
    ended: datetime | None
    objective: float | None
    metric: str
    hyperparameters: Mapping[str, str]
    failure: str = ""


@dataclass(frozen=True)
class Progress:
    """A run as it stands: its steps in the definition's order, and the tuner's trials, oldest first."""

    execution: Execution
    steps: tuple[StepRun, ...]
    trials: tuple[Trial, ...]

    @property
    def failed(self) -> StepRun | None:
        """The first step that failed."""
        return next((step for step in self.steps if step.status == "Failed"), None)


def read(settings: Settings, arn: str) -> Progress:
    """The run `arn` as it stands now."""
    return _Reader(settings, arn).read()


def follow(
    settings: Settings, arn: str, *, interval: float = 3.0, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Progress]:
    """The run at once, then whenever something about it has changed, until it has ended.

    `interval` is in seconds between two looks.
    """
    reader = _Reader(settings, arn)
    before: Progress | None = None
    while before is None or not before.execution.ended:
        if before is not None:
            sleep(interval)
        now = reader.read()
        if before is None or _shown(now) != _shown(before):
            yield now
        before = now


def _shown(progress: Progress) -> tuple[object, ...]:
    """What counts as a change: a run's time of last change moves without one."""
    return progress.execution.status, progress.steps, progress.trials


class _Reader:
    """Reads one run again and again; what cannot change meanwhile is asked for once."""

    def __init__(self, settings: Settings, arn: str) -> None:
        self._sagemaker = client(settings, "sagemaker")
        self._arn = arn
        response = self._sagemaker.describe_pipeline_definition_for_execution(PipelineExecutionArn=arn)
        definition = json.loads(response["PipelineDefinition"])
        self._order = [step["Name"] for step, _ in expected_steps(definition["Steps"])]

    def read(self) -> Progress:
        # The run before its steps: a run that has ended has all its steps, the other way round one could be missed.
        execution = describe(self._sagemaker, self._arn)
        reached = {step.name: step for step in steps_of(self._sagemaker, self._arn)}
        expected = [name for name in self._order if name in reached or not execution.ended]
        steps = [reached.pop(name, StepRun(name, "Waiting")) for name in expected]
        steps += reached.values()
        trials = tuple(trial for step in steps for trial in self._trials(step))
        return Progress(execution, tuple(steps), trials)

    def _trials(self, step: StepRun) -> list[Trial]:
        arn = step.arn("TuningJob")
        return [] if arn is None or step.cached else trials(self._sagemaker, arn.rsplit("/", 1)[-1])


def steps_of(sagemaker: Any, arn: str) -> list[StepRun]:
    """The steps that the run `arn` has reached, in the order in which they started."""
    pages = sagemaker.get_paginator("list_pipeline_execution_steps").paginate(
        PipelineExecutionArn=arn, SortOrder="Ascending"
    )
    return [_step(response) for page in pages for response in page["PipelineExecutionSteps"]]


def trials(sagemaker: Any, tuning_job: str) -> list[Trial]:
    """The trials of a tuning job, oldest first."""
    # Sorted here and not by the service: a job that is made between two pages would shift them.
    pages = sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
        HyperParameterTuningJobName=tuning_job
    )
    found = [_trial(one) for page in pages for one in page["TrainingJobSummaries"]]
    return sorted(found, key=lambda trial: (trial.created, trial.name))


def _step(response: Mapping[str, Any]) -> StepRun:
    metadata = response.get("Metadata", {})
    return StepRun(
        name=response["StepName"],
        status=response["StepStatus"],
        started=response.get("StartTime"),
        ended=response.get("EndTime"),
        cached_from=response.get("CacheHitResult", {}).get("SourcePipelineExecutionArn", ""),
        failure=metadata.get("Fail", {}).get("ErrorMessage") or response.get("FailureReason", ""),
        attempts=response.get("AttemptCount", 0),
        metadata=metadata,
    )


def _trial(response: Mapping[str, Any]) -> Trial:
    objective = response.get("FinalHyperParameterTuningJobObjectiveMetric", {})
    return Trial(
        name=response["TrainingJobName"],
        status=response["TrainingJobStatus"],
        created=response["CreationTime"],
        started=response.get("TrainingStartTime"),
        ended=response.get("TrainingEndTime"),
        objective=objective.get("Value"),
        metric=objective.get("MetricName", ""),
        hyperparameters=response.get("TunedHyperParameters", {}),
        failure=response.get("FailureReason", ""),
    )


def expected_steps(steps: list[dict[str, Any]], condition: str = "") -> Iterator[tuple[dict[str, Any], str]]:
    """The steps that a run reaches when all goes well, in the definition's order.

    Each comes with the name of the condition that it stands behind, empty for none.
    """
    for step in steps:
        if step["Type"] == "Fail":
            continue
        yield step, condition
        if step["Type"] == "Condition":
            yield from expected_steps(step["Arguments"].get("IfSteps", []), step["Name"])
