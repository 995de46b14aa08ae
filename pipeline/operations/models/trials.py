"""The trials of a run's tuning job: hyperparameters, metrics, duration and billed seconds of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.aws.arns import name_of
from pipeline.aws.responses import error_if_missing
from pipeline.clients import client
from pipeline.operations.runs import executions, progress
from pipeline.operations.runs.executions import Execution
from pipeline.operations.runs.progress import StepRun
from pipeline.parallel import parallel_map
from pipeline.settings import Settings
from steps.contracts import metrics
from steps.contracts.errors import PipelineError

STEP = "TuneModel"
_OUT_OF_TIME = {"MaxRuntimeExceeded": "out of time", "MaxWaitTimeExceeded": "no spot capacity in time"}


@dataclass(frozen=True)
class Trial:
    """A trial, numbered from 1 in the order of creation.

    `accuracy`, `rmse` and `loss` are the last epoch's on the validation split; `objective` ranks the trials. `seconds`
    is training time, `billable_seconds` the sum over all instances, `saved` the share of the training time that spot
    capacity saved.
    """

    number: int
    name: str
    status: str
    note: str
    best: bool
    values: Mapping[str, str]
    objective: float | None
    accuracy: float | None
    rmse: float | None
    loss: float | None
    epochs: int | None
    started: datetime | None
    ended: datetime | None
    seconds: int | None
    billable_seconds: int | None
    saved: float | None
    model_uri: str
    failure: str

    @property
    def ended_well(self) -> bool:
        """Whether it created a model, from its last or best epoch."""
        return self.status in ("Completed", "Stopped")


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
    step = _step(settings, run.arn)
    arn = step.arn("TuningJob") if step else None
    if step is not None and arn is None and step.cached:
        origin = _step(settings, step.cached_from)
        arn = origin.arn("TuningJob") if origin else None
    if step is None or arn is None:
        raise PipelineError(_no_job(run, step))
    return _job(settings, run, name_of(arn), name_of(step.cached_from))


def _step(settings: Settings, arn: str) -> StepRun | None:
    return next((step for step in progress.read(settings, arn).steps if step.name == STEP), None)


def _no_job(run: Execution, step: StepRun | None) -> str:
    if step is not None and step.status == "Failed":
        return f"the run {run.id} failed to start its tuning job: {step.failure or 'no reason is given'}"
    if run.ended:
        return f"the run {run.id} ended ({run.status}) before its tuning job; use another: python -m pipeline runs"
    state = step.status if step else "not part of it"
    return f"the run {run.id} has no tuning job yet ({STEP}: {state}); follow it: python -m pipeline watch {run.id}"


def _job(settings: Settings, run: Execution, name: str, cached_from: str) -> TuningJob:
    sagemaker = client(settings, "sagemaker")
    with error_if_missing(f"the tuning job {name} of the run {run.id} no longer exists; use another run"):
        job = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        summaries = progress.trials(sagemaker, name)
    details = parallel_map(lambda trial: sagemaker.describe_training_job(TrainingJobName=trial.name), summaries)
    pairs = enumerate(zip(summaries, details, strict=True), 1)
    trials = tuple(_trial(job, number, summary, detail) for number, (summary, detail) in pairs)
    config = job["HyperParameterTuningJobConfig"]
    objective = config["HyperParameterTuningJobObjective"]
    return TuningJob(
        run=run.id,
        name=name,
        status=job["HyperParameterTuningJobStatus"],
        strategy=config["Strategy"],
        early_stopping=config.get("TrainingJobEarlyStoppingType", "Off") == "Auto",
        objective=objective["MetricName"],
        maximize=objective["Type"] == "Maximize",
        cached_from=cached_from,
        failure=job.get("FailureReason", ""),
        trials=trials,
    )


def _trial(job: Mapping[str, Any], number: int, summary: progress.TrialJob, detail: Mapping[str, Any]) -> Trial:
    values = {metric["MetricName"]: float(metric["Value"]) for metric in detail.get("FinalMetricDataList", [])}
    trained, billable = detail.get("TrainingTimeInSeconds"), detail.get("BillableTimeInSeconds")
    spot = detail.get("EnableManagedSpotTraining", False)
    epoch = values.get(metrics.EPOCH)
    return Trial(
        number=number,
        name=summary.name,
        status=detail["TrainingJobStatus"],
        note=_note(job, detail),
        best=job.get("BestTrainingJob", {}).get("TrainingJobName") == summary.name,
        values=summary.hyperparameters,
        objective=summary.objective,
        accuracy=values.get(metrics.ACCURACY),
        rmse=values.get(metrics.RMSE),
        loss=values.get(metrics.LOSS),
        epochs=None if epoch is None else round(epoch),
        started=summary.started,
        ended=summary.ended,
        seconds=trained,
        # SageMaker's figure is wall-clock time, to be multiplied by the number of instances:
        # https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeTrainingJob.html
        billable_seconds=None if billable is None else billable * detail["ResourceConfig"].get("InstanceCount", 1),
        saved=1 - billable / trained if spot and billable and trained else None,
        model_uri=detail.get("ModelArtifacts", {}).get("S3ModelArtifacts", ""),
        failure=summary.failure,
    )


def _note(job: Mapping[str, Any], detail: Mapping[str, Any]) -> str:
    """Why a trial stopped, where that is known: stopping a tuning job stops its trials too."""
    if detail["TrainingJobStatus"] != "Stopped":
        return ""
    if note := _OUT_OF_TIME.get(detail.get("SecondaryStatus", "")):
        return note
    config = job["HyperParameterTuningJobConfig"]
    stops_early = config["Strategy"] == "Hyperband" or config.get("TrainingJobEarlyStoppingType") == "Auto"
    return "early" if stops_early and job["HyperParameterTuningJobStatus"] in ("InProgress", "Completed") else ""
