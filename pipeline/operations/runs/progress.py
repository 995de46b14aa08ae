"""The progress of a run: its steps in the definition's order and its trials, once or until the run ends."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from pipeline.aws.arns import name_of
from pipeline.aws.pages import items
from pipeline.clients import client
from pipeline.operations.runs.executions import Execution, definition_of_run, describe
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

# A step changes at the latest when its job ends, which SageMaker stops after 28 days.
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StoppingCondition.html
UNCHANGED_SECONDS = 28 * 86_400.0
# Secondary statuses of a training job without instances:
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeTrainingJob.html
_WAITING = ("Starting", "Pending", "Interrupted")


@dataclass(frozen=True)
class Saving:
    """The duration and cost of a cached step in the run that it comes from.

    `seconds` is from that step's start to its end; `billed_seconds` is the sum over its jobs' instances. `usd` is their
    cost, None where a price or a job is unknown.
    """

    seconds: float
    billed_seconds: int
    usd: Decimal | None


@dataclass(frozen=True)
class StepRun:
    """A step of a run; `status` is `Waiting` until the run reaches it. `saving` is None where it is unknown.

    `copied`: it was not selected in a selective execution, whose source gave its result without a comparison.
    `condition` is the name of the condition step whose branch it belongs to; empty outside of branches.
    """

    name: str
    status: str
    started: datetime | None = None
    ended: datetime | None = None
    cached_from: str = ""
    copied: bool = False
    failure: str = ""
    attempts: int = 0
    metadata: Mapping[str, Any] = field(default_factory=dict)
    saving: Saving | None = None
    condition: str = ""

    @property
    def cached(self) -> bool:
        """Whether the step has the result of an earlier run."""
        return bool(self.cached_from)

    def arn(self, kind: str) -> str | None:
        """ARN of the step's `ProcessingJob`, `TuningJob`, `RegisterModel` or `Lambda`, once there is one."""
        arn: str | None = self.metadata.get(kind, {}).get("Arn")
        return arn


@dataclass(frozen=True)
class TrialJob:
    """A training job of the tuner; `objective` is None until the job has reported one."""

    name: str
    status: str
    created: datetime
    started: datetime | None
    ended: datetime | None
    objective: float | None
    metric: str
    hyperparameters: Mapping[str, str]
    failure: str = ""
    waiting: str = ""
    """What a job that has no instances waits for, in SageMaker's words; empty for other jobs."""
    spot: bool = False
    """Whether it is to run on spot capacity; read for a job without instances only."""


@dataclass(frozen=True)
class Progress:
    """The state of a run: its steps in the definition's order, and its trials, oldest first."""

    execution: Execution
    steps: tuple[StepRun, ...]
    trials: tuple[TrialJob, ...]

    @property
    def failed(self) -> StepRun | None:
        """The first step that failed."""
        return next((step for step in self.steps if step.status == "Failed"), None)


def read(settings: Settings, arn: str) -> Progress:
    """The present state of the run `arn`."""
    return Reader(settings, arn).read()


def follow(settings: Settings, arn: str, *, interval: float = 3.0) -> Iterator[Progress]:
    """The run at once and after each change, until it has ended; `interval` is the seconds between two looks.

    Raises PipelineError where nothing changes for UNCHANGED_SECONDS.
    """
    last: Progress | None = None
    for now in looks(settings, arn, interval=interval):
        if now != last:
            last = now
            yield now


def looks(settings: Settings, arn: str, *, interval: float = 3.0) -> Iterator[Progress]:
    """The run at once and every `interval` seconds, changed or not, until it has ended.

    Raises PipelineError where nothing changes for UNCHANGED_SECONDS.
    """
    reader = Reader(settings, arn)
    last: Progress | None = None
    changed = time.monotonic()
    while True:
        now = reader.read()
        if now != last:
            last, changed = now, time.monotonic()
        elif time.monotonic() - changed > UNCHANGED_SECONDS:
            days = f"{UNCHANGED_SECONDS / 86_400:.0f} days"
            raise PipelineError(f"the run {name_of(arn)} has not changed for {days}; see it in SageMaker Studio")
        yield now
        if now.execution.ended:
            return
        time.sleep(interval)


class Reader:
    """Reads one run repeatedly; its definition is read once."""

    def __init__(self, settings: Settings, arn: str) -> None:
        self._sagemaker = client(settings, "sagemaker")
        self.arn = arn
        self.definition = definition_of_run(self._sagemaker, arn)
        """The run's definition."""
        self._order = [step["Name"] for step, _ in expected_steps(self.definition["Steps"])]
        self._conditions = dict(_conditions(self.definition["Steps"]))

    def read(self) -> Progress:
        """The present state."""
        # The run before its steps: a run that has ended has all its steps.
        execution = describe(self._sagemaker, self.arn)
        reached = {step.name: self._placed(step) for step in steps_of(self._sagemaker, self.arn)}
        expected = [name for name in self._order if name in reached or not execution.ended]
        steps = [reached.pop(name, self._placed(StepRun(name, "Waiting"))) for name in expected]
        steps += reached.values()
        tuning_jobs = [arn for step in steps if not step.cached and (arn := step.arn("TuningJob"))]
        trial_jobs = [trial for arn in tuning_jobs for trial in trials(self._sagemaker, name_of(arn))]
        return Progress(execution, tuple(steps), tuple(map(self._with_reason, trial_jobs)))

    def _placed(self, step: StepRun) -> StepRun:
        return replace(step, condition=self._conditions.get(step.name, ""))

    def _with_reason(self, trial: TrialJob) -> TrialJob:
        if trial.status != "InProgress" or trial.started is not None:
            return trial
        return with_reason(trial, self._sagemaker.describe_training_job(TrainingJobName=trial.name))


def with_reason(trial: TrialJob, described: Mapping[str, Any]) -> TrialJob:
    """A trial that has no instances by DescribeTrainingJob's answer with the reason; any other trial as it is.

    The reason is as in "Insufficient capacity error from EC2 ..., retrying!".
    """
    status = described.get("SecondaryStatus", "")
    if status not in _WAITING:
        return trial
    transitions = described.get("SecondaryStatusTransitions", [])
    # Instances that spot capacity took away: the message is about the end of the training, not about the wait.
    message = transitions[-1].get("StatusMessage", "") if transitions and status != "Interrupted" else ""
    return replace(trial, waiting=message or status, spot=described.get("EnableManagedSpotTraining", False))


def steps_of(sagemaker: Any, arn: str) -> list[StepRun]:
    """The steps that the run `arn` has reached, in the order in which they started."""
    paginator = sagemaker.get_paginator("list_pipeline_execution_steps")
    steps = items(paginator, "PipelineExecutionSteps", PipelineExecutionArn=arn, SortOrder="Ascending")
    return [_step(response) for response in steps]


def trials(sagemaker: Any, tuning_job: str) -> list[TrialJob]:
    """The trials of a tuning job, oldest first."""
    # Not sorted by SageMaker: a job that is created between two pages would shift them.
    paginator = sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job")
    summaries = items(paginator, "TrainingJobSummaries", HyperParameterTuningJobName=tuning_job)
    return sorted(map(_trial, summaries), key=lambda trial: (trial.created, trial.name))


def _step(response: Mapping[str, Any]) -> StepRun:
    metadata = response.get("Metadata", {})
    hit, selected = response.get("CacheHitResult", {}), response.get("SelectiveExecutionResult", {})
    return StepRun(
        name=response["StepName"],
        status=response["StepStatus"],
        started=response.get("StartTime"),
        ended=response.get("EndTime"),
        cached_from=(hit or selected).get("SourcePipelineExecutionArn", ""),
        copied=bool(selected) and not hit,
        failure=metadata.get("Fail", {}).get("ErrorMessage") or response.get("FailureReason", ""),
        attempts=response.get("AttemptCount", 0),
        metadata=metadata,
    )


def _trial(response: Mapping[str, Any]) -> TrialJob:
    objective = response.get("FinalHyperParameterTuningJobObjectiveMetric", {})
    return TrialJob(
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
    """The steps that a successful run reaches, in the definition's order.

    Each comes with the name of the condition that guards it, empty for none.
    """
    for step in steps:
        if step["Type"] == "Fail":
            continue
        yield step, condition
        if step["Type"] == "Condition":
            yield from expected_steps(step["Arguments"].get("IfSteps", []), step["Name"])


def _conditions(steps: list[dict[str, Any]], condition: str = "") -> Iterator[tuple[str, str]]:
    """Each step of a definition with the name of the condition whose branch it belongs to, empty for none."""
    for step in steps:
        yield step["Name"], condition
        if step["Type"] == "Condition":
            for branch in ("IfSteps", "ElseSteps"):
                yield from _conditions(step["Arguments"].get(branch, []), step["Name"])
