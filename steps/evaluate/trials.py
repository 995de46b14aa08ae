"""The trials of the model's tuning job, for the report and the registry."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from steps.contracts.errors import StepError


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

    `best` is the best trial's name. `best_ended` is the end of its training, None where SageMaker does not report it.
    """

    job: str
    best: str
    objective: str
    strategy: str
    trials: tuple[Trial, ...]
    best_ended: datetime | None = None


def read(job: str) -> Trials:
    """The trials of the tuning job `job`. Raises StepError when SageMaker cannot be asked for them."""
    from boto3 import client
    from botocore.exceptions import BotoCoreError, ClientError

    sagemaker = client("sagemaker")
    try:
        tuning = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=job)
        pages = sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
            HyperParameterTuningJobName=job
        )
        summaries = [summary for page in pages for summary in page["TrainingJobSummaries"]]
    except (BotoCoreError, ClientError) as error:
        raise StepError(
            f"the tuning job {job} cannot be read: {error}; allow the job's role "
            "sagemaker:DescribeHyperParameterTuningJob and sagemaker:ListTrainingJobsForHyperParameterTuningJob"
        ) from error
    objective = tuning["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
    best = tuning.get("BestTrainingJob", {})
    worst = float("-inf") if objective["Type"] == "Maximize" else float("inf")
    trials = sorted(
        map(_trial, summaries),
        key=lambda trial: worst if trial.objective is None else trial.objective,
        reverse=objective["Type"] == "Maximize",
    )
    return Trials(
        job=job,
        best=best.get("TrainingJobName", ""),
        objective=objective["MetricName"],
        strategy=tuning["HyperParameterTuningJobConfig"]["Strategy"],
        trials=tuple(trials),
        best_ended=best.get("TrainingEndTime"),
    )


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
