"""The trials of a run's tuning job: hyperparameters, metrics, duration and billed seconds of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pipeline.aws.arns import name_of
from pipeline.aws.responses import error_if_missing
from pipeline.clients import client
from pipeline.operations.runs import executions, progress
from pipeline.operations.runs.executions import Execution
from pipeline.operations.runs.progress import Progress, StepRun
from pipeline.parallel import parallel_map
from pipeline.settings import Settings
from steps.contracts import metrics
from steps.contracts.errors import PipelineError

STEP = "TuneModel"
FINAL = ("Completed", "Failed", "Stopped")
# DescribeTrainingJob's answer for a job of this name.
Describe = Callable[[str], Mapping[str, Any]]
_OUT_OF_TIME = {"MaxRuntimeExceeded": "out of time", "MaxWaitTimeExceeded": "no spot capacity in time"}


@dataclass(frozen=True)
class Trial:
    """A trial, numbered from 1 in the order of creation.

    `accuracy`, `rmse` and `loss` are the last epoch's on the validation split; `objective` ranks the trials. `seconds`
    is training time, `billable_seconds` the sum over all instances, `saved` the share of the training time that spot
    capacity saved. Without DescribeTrainingJob's answer there are only hyperparameters, status, times and objective.
    """

    number: int
    name: str
    status: str
    note: str
    best: bool
    values: Mapping[str, str]
    objective: float | None
    accuracy: float | None = None
    rmse: float | None = None
    loss: float | None = None
    epochs: int | None = None
    started: datetime | None = None
    ended: datetime | None = None
    seconds: int | None = None
    billable_seconds: int | None = None
    saved: float | None = None
    model_uri: str = ""
    failure: str = ""

    @property
    def ended_well(self) -> bool:
        """Whether it created a model, from its last or best epoch."""
        return self.status in ("Completed", "Stopped")

    @property
    def is_final(self) -> bool:
        """Whether it will not change any more."""
        return self.status in FINAL


@dataclass(frozen=True)
class SearchRange:
    """A hyperparameter's range: numbers between `minimum` and `maximum` on a scale, or else `values` to choose from."""

    name: str
    minimum: float = 0.0
    maximum: float = 0.0
    scale: str = ""
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """The name of a run's tuning job, and the id of the earlier run that it comes from, or empty."""

    name: str
    cached_from: str


@dataclass(frozen=True)
class TuningJob:
    """A tuning job and its trials; `cached_from` is the earlier run that started it, empty for the run's own."""

    run: str
    name: str
    status: str
    strategy: str
    early_stopping: bool
    objective: str
    maximize: bool
    cached_from: str
    failure: str
    trials: tuple[Trial, ...]
    ranges: tuple[SearchRange, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether neither the job nor any of its trials will change any more."""
        states = [self.status, *(trial.status for trial in self.trials)]
        return all(state in FINAL for state in states)

    def trial(self, number: int | None = None) -> Trial:
        """Trial `number`, or else the best trial. Raises PipelineError where there is none."""
        if number is not None and not 1 <= number <= len(self.trials):
            started = f"has trials 1 to {len(self.trials)}" if self.trials else "has started none yet"
            raise PipelineError(f"there is no trial {number}; the tuning job {self.name} {started}")
        if number is not None:
            return self.trials[number - 1]
        best = next((trial for trial in self.trials if trial.best), None)
        if best is None:
            raise PipelineError(f"no trial of the tuning job {self.name} has reported its {self.objective} yet")
        return best


def read(settings: Settings, reference: str) -> TuningJob:
    """The tuning job of the run that `reference` refers to (`latest`, an id, an ARN).

    After a cache hit it is the job of the earlier run. Raises PipelineError where there is no such run, or it has no
    tuning job.
    """
    run = executions.resolve(settings, reference)
    place = locate(progress.read(settings, run.arn), lambda arn: progress.read(settings, arn))
    job = describe(settings, run, place)
    sagemaker = client(settings, "sagemaker")
    names = [trial.name for trial in job.trials]
    return with_details(job, names, lambda name: sagemaker.describe_training_job(TrainingJobName=name))


def locate(run: Progress, earlier: Callable[[str], Progress]) -> Place:
    """The tuning job of a run; `earlier` reads the run of an ARN, where the job comes from the cache.

    Raises PipelineError where the run has no tuning job (yet).
    """
    step = _step(run)
    arn = step.arn("TuningJob") if step else None
    if step is not None and arn is None and step.cached:
        origin = _step(earlier(step.cached_from))
        arn = origin.arn("TuningJob") if origin else None
    if step is None or arn is None:
        raise PipelineError(_no_job(run.execution, step))
    return Place(name_of(arn), name_of(step.cached_from))


def _step(run: Progress) -> StepRun | None:
    return next((step for step in run.steps if step.name == STEP), None)


def _no_job(run: Execution, step: StepRun | None) -> str:
    if step is not None and step.status == "Failed":
        return f"the run {run.id} failed to start its tuning job: {step.failure or 'no reason is given'}"
    if run.ended:
        return f"the run {run.id} ended ({run.status}) before its tuning job; use another: python -m pipeline runs"
    state = step.status if step else "not part of it"
    return f"the run {run.id} has no tuning job yet ({STEP}: {state}); follow it: python -m pipeline watch {run.id}"


def describe(settings: Settings, run: Execution, place: Place) -> TuningJob:
    """The tuning job, and its trials as their list has them: hyperparameters, status, times and objective.

    Raises PipelineError where the job no longer exists.
    """
    sagemaker = client(settings, "sagemaker")
    with error_if_missing(f"the tuning job {place.name} of the run {run.id} no longer exists; use another run"):
        answer = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=place.name)
        summaries = progress.trials(sagemaker, place.name)
    config = answer["HyperParameterTuningJobConfig"]
    objective = config["HyperParameterTuningJobObjective"]
    job = TuningJob(
        run=run.id,
        name=place.name,
        status=answer["HyperParameterTuningJobStatus"],
        strategy=config["Strategy"],
        early_stopping=config.get("TrainingJobEarlyStoppingType", "Off") == "Auto",
        objective=objective["MetricName"],
        maximize=objective["Type"] == "Maximize",
        cached_from=place.cached_from,
        failure=answer.get("FailureReason", ""),
        trials=(),
        ranges=tuple(_ranges(config.get("ParameterRanges", {}))),
    )
    best = answer.get("BestTrainingJob", {}).get("TrainingJobName", "")
    return replace(job, trials=tuple(_trial(job, best, number, each) for number, each in enumerate(summaries, 1)))


def _ranges(ranges: Mapping[str, Any]) -> Iterator[SearchRange]:
    """ParameterRanges, in the order of their names."""
    numbers = [
        SearchRange(each["Name"], float(each["MinValue"]), float(each["MaxValue"]), each.get("ScalingType", "Auto"))
        for kind in ("ContinuousParameterRanges", "IntegerParameterRanges")
        for each in ranges.get(kind, [])
    ]
    choices = [
        SearchRange(each["Name"], values=tuple(value.strip('"') for value in each["Values"]))
        for each in ranges.get("CategoricalParameterRanges", [])
    ]
    yield from sorted([*numbers, *choices], key=lambda each: each.name)


def with_details(job: TuningJob, names: Iterable[str], details: Describe) -> TuningJob:
    """The tuning job with what `details` returns for the trials of these names, which are read at the same time."""
    listed = list(names)
    answers = dict(zip(listed, parallel_map(details, listed), strict=True))
    trials = tuple(_with_detail(job, trial, answers.get(trial.name) or {}) for trial in job.trials)
    return replace(job, trials=trials)


def _trial(job: TuningJob, best: str, number: int, summary: progress.TrialJob) -> Trial:
    """A trial as the list of the job's trials has it."""
    return Trial(
        number=number,
        name=summary.name,
        status=summary.status,
        note=_note(job, summary.status),
        best=best == summary.name,
        values=summary.hyperparameters,
        objective=summary.objective,
        started=summary.started,
        ended=summary.ended,
        failure=summary.failure,
    )


def _with_detail(job: TuningJob, trial: Trial, detail: Mapping[str, Any]) -> Trial:
    """A trial with DescribeTrainingJob's answer."""
    if not detail:
        return trial
    values = {metric["MetricName"]: float(metric["Value"]) for metric in detail.get("FinalMetricDataList", [])}
    trained, billable = detail.get("TrainingTimeInSeconds"), detail.get("BillableTimeInSeconds")
    spot = detail.get("EnableManagedSpotTraining", False)
    epoch = values.get(metrics.EPOCH)
    return replace(
        trial,
        status=detail["TrainingJobStatus"],
        note=_note(job, detail["TrainingJobStatus"], detail.get("SecondaryStatus", "")),
        accuracy=values.get(metrics.ACCURACY),
        rmse=values.get(metrics.RMSE),
        loss=values.get(metrics.LOSS),
        epochs=None if epoch is None else round(epoch),
        seconds=trained,
        # SageMaker's figure is wall-clock time, to be multiplied by the number of instances:
        # https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeTrainingJob.html
        billable_seconds=None if billable is None else billable * detail["ResourceConfig"].get("InstanceCount", 1),
        saved=1 - billable / trained if spot and billable and trained else None,
        model_uri=detail.get("ModelArtifacts", {}).get("S3ModelArtifacts", ""),
    )


def _note(job: TuningJob, status: str, secondary: str = "") -> str:
    """Why a trial stopped, where that is known: stopping a tuning job stops its trials too."""
    if status != "Stopped":
        return ""
    if note := _OUT_OF_TIME.get(secondary):
        return note
    stops_early = job.strategy == "Hyperband" or job.early_stopping
    return "early" if stops_early and job.status in ("InProgress", "Completed") else ""
