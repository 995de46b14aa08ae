"""The trials of the model's tuning job, for the report and the registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from steps.contracts.errors import StepError
from steps.evaluate.artifact import ARCHIVE


@dataclass(frozen=True)
class Trial:
    """One trial. `objective` is None where the trial reported none; `seconds` is None before its end."""

    name: str
    status: str
    objective: float | None
    seconds: float | None
    values: dict[str, str]


@dataclass(frozen=True)
class Trials:
    """A tuning job's trials: the best first, trials without an objective last.

    `best` is the name of the trial whose model is evaluated, the best one or one of several with its objective.
    `best_ended` is the end of its training, None where SageMaker does not report it.
    """

    job: str
    best: str
    objective: str
    strategy: str
    trials: tuple[Trial, ...]
    best_ended: datetime | None = None


@contextmanager
def sagemaker_client(problem: str, *permissions: str) -> Iterator[Any]:
    """A SageMaker client; its errors become a StepError of the problem and the permissions that the calls need."""
    from boto3 import client
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield client("sagemaker")
    except (BotoCoreError, ClientError) as error:
        actions = " and ".join(f"sagemaker:{permission}" for permission in permissions)
        raise StepError(f"{problem}: {error}; allow the job's role {actions}") from error


def read(job: str, model: str) -> Trials:
    """The trials of the tuning job `job`, whose model is at the S3 URI `model`.

    The URI has the trial's name: where several trials have the best objective, SageMaker may name another one in
    BestTrainingJob. Raises StepError when SageMaker cannot be asked for the trials.
    """
    permissions = ("DescribeHyperParameterTuningJob", "ListTrainingJobsForHyperParameterTuningJob")
    with sagemaker_client(f"the tuning job {job} cannot be read", *permissions) as sagemaker:
        tuning = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=job)
        lister = sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job")
        pages = lister.paginate(HyperParameterTuningJobName=job)
        summaries = [summary for page in pages for summary in page["TrainingJobSummaries"]]
    objective = tuning["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
    best = tuning.get("BestTrainingJob", {})
    best = next((summary for summary in summaries if summary["TrainingJobName"] == _job_of(model)), best)
    name = best.get("TrainingJobName", "")
    sign = -1 if objective["Type"] == "Maximize" else 1
    trials = sorted(
        map(_trial, summaries),
        key=lambda trial: (float("inf") if trial.objective is None else sign * trial.objective, trial.name != name),
    )
    return Trials(
        job=job,
        best=name,
        objective=objective["MetricName"],
        strategy=tuning["HyperParameterTuningJobConfig"]["Strategy"],
        trials=tuple(trials),
        best_ended=best.get("TrainingEndTime"),
    )


def _job_of(model: str) -> str:
    """The training job of an artifact `PREFIX/JOB/output/model.tar.gz`; empty for another URI.

    `TuningStep.get_top_model_s3_uri` of the SageMaker SDK, from which the input `model` comes, has this layout too.
    """
    parts = model.split("/")
    return parts[-3] if parts[-2:] == ["output", ARCHIVE] and len(parts) > 3 else ""


def _trial(summary: dict[str, Any]) -> Trial:
    metric = summary.get("FinalHyperParameterTuningJobObjectiveMetric")
    started, ended = summary.get("TrainingStartTime"), summary.get("TrainingEndTime")
    return Trial(
        name=summary["TrainingJobName"],
        status=summary["TrainingJobStatus"],
        objective=float(metric["Value"]) if metric else None,
        seconds=(ended - started).total_seconds() if started and ended else None,
        values=summary.get("TunedHyperParameters", {}),
    )
