"""The trials of a run: the service's answers stubbed, and checked against its model."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from pipeline import parallel
from pipeline.operations.models import trials
from pipeline.operations.runs import executions, progress
from pipeline.operations.runs.executions import Execution
from pipeline.operations.runs.progress import Progress, StepRun
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

pytestmark = pytest.mark.usefixtures("no_account")
PREFIX = "arn:aws:sagemaker:us-east-1:111122223333"
TUNING = f"{PREFIX}:hyper-parameter-tuning-job/tune-1"
RUN = f"{PREFIX}:pipeline/bins/execution/run1"
EARLIER = f"{PREFIX}:pipeline/bins/execution/run0"
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
JOB = {"TuningJob": {"Arn": TUNING}}


class Service:
    """The tuning job that SageMaker describes, and its training jobs."""

    def __init__(self) -> None:
        self.client = boto3.client("sagemaker", region_name="us-east-1")
        self.stubber = Stubber(self.client)
        self.details: list[dict[str, Any]] = []

    def add(self, status: str, objective: float | None = None, **more: Any) -> None:
        """A training job as DescribeTrainingJob and the list of the tuning job's trials give it."""
        number = len(self.details) + 1
        self.details.append(
            {
                "TrainingJobName": f"trial-{number}",
                "TrainingJobArn": f"{PREFIX}:training-job/trial-{number}",
                "CreationTime": START + timedelta(minutes=number),
                "TrainingJobStatus": status,
                "SecondaryStatus": status if status != "InProgress" else "Training",
                "ModelArtifacts": {"S3ModelArtifacts": f"s3://b/trial-{number}/output/model.tar.gz"},
                "AlgorithmSpecification": {"TrainingInputMode": "File"},
                "ResourceConfig": {"InstanceCount": 2, "InstanceType": "ml.g5.2xlarge", "VolumeSizeInGB": 1},
                "StoppingCondition": {},
                "FinalMetricDataList": []
                if objective is None
                else [
                    {"MetricName": name, "Value": value, "Timestamp": START}
                    for name, value in {
                        "validation:best_accuracy": objective,
                        "validation:accuracy": objective - 0.01,
                        "validation:rmse": 1.25,
                        "validation:loss": 1.5,
                        "epoch": 7.0,
                    }.items()
                ],
                **more,
            }
        )

    def answer(self, status: str, **config: Any) -> None:
        """Let the service answer what is asked for the tuning job."""
        objective = {"Type": "Maximize", "MetricName": "validation:best_accuracy"}
        found = [self._summary(one) for one in self.details]
        judged = [one for one in found if "FinalHyperParameterTuningJobObjectiveMetric" in one]
        metric = "FinalHyperParameterTuningJobObjectiveMetric"
        best = max(judged, key=lambda one: one[metric]["Value"], default=None)
        reason = {"FailureReason": "All training jobs failed"} if status == "Failed" else {}
        self.stubber.add_response(
            "describe_hyper_parameter_tuning_job",
            {
                "HyperParameterTuningJobName": "tune-1",
                "HyperParameterTuningJobArn": TUNING,
                "HyperParameterTuningJobStatus": status,
                "CreationTime": START,
                "HyperParameterTuningJobConfig": {
                    "Strategy": "Bayesian",
                    "HyperParameterTuningJobObjective": objective,
                    "ResourceLimits": {"MaxParallelTrainingJobs": 1},
                    **config,
                },
                "TrainingJobStatusCounters": {},
                "ObjectiveStatusCounters": {},
                **({"BestTrainingJob": best} if best else {}),
                **reason,
            },
            {"HyperParameterTuningJobName": "tune-1"},
        )
        self.stubber.add_response(
            "list_training_jobs_for_hyper_parameter_tuning_job",
            {"TrainingJobSummaries": found[::-1]},
            {"HyperParameterTuningJobName": "tune-1"},
        )
        for one in self.details:
            name = {"TrainingJobName": one["TrainingJobName"]}
            self.stubber.add_response("describe_training_job", one, name)

    def _summary(self, detail: dict[str, Any]) -> dict[str, Any]:
        names = ("TrainingJobName", "TrainingJobArn", "CreationTime", "TrainingJobStatus", "FailureReason")
        summary = {name: detail[name] for name in names if name in detail}
        summary["TunedHyperParameters"] = {"learning-rate": "0.001"}
        for metric in detail["FinalMetricDataList"][:1]:
            summary["FinalHyperParameterTuningJobObjectiveMetric"] = {
                "MetricName": metric["MetricName"],
                "Value": metric["Value"],
            }
        return summary


@pytest.fixture
def service(no_account: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    service = Service()
    monkeypatch.setattr(trials, "client", lambda settings, name: service.client)
    # The stub answers in the order in which it was told.
    monkeypatch.setattr(parallel, "THREADS", 1)
    with service.stubber:
        yield service
        service.stubber.assert_no_pending_responses()


def run_of(monkeypatch: pytest.MonkeyPatch, status: str, **steps: StepRun | None) -> None:
    """Let `latest` be a run with this tuning step; `run0` is the earlier one."""
    run = Execution(RUN, status, START)
    monkeypatch.setattr(executions, "resolve", lambda settings, reference: run)

    def read(settings: Settings, arn: str) -> Progress:
        step = steps["earlier" if arn == EARLIER else "tune"]
        return Progress(run, () if step is None else (step,), ())

    monkeypatch.setattr(progress, "read", read)


def test_a_trial_shows_what_it_tried_reached_and_cost(
    service: Service, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_of(monkeypatch, "Executing", tune=StepRun("TuneModel", "Executing", metadata=JOB))
    spot = {"EnableManagedSpotTraining": True, "TrainingTimeInSeconds": 1000, "BillableTimeInSeconds": 300}
    service.add("Completed", 0.5, **spot)
    service.add("Completed", 0.6, TrainingTimeInSeconds=500, BillableTimeInSeconds=500)
    service.add("InProgress")
    service.answer("InProgress")
    first, second, third = trials.read(settings, "latest").trials
    assert [one.name for one in (first, second, third)] == ["trial-1", "trial-2", "trial-3"]
    assert (first.objective, first.accuracy, first.rmse, first.loss, first.epochs) == (0.5, 0.49, 1.25, 1.5, 7)
    assert (first.seconds, first.billable_seconds, first.saved) == (1000, 600, pytest.approx(0.7))
    assert (second.best, second.billable_seconds, second.saved) == (True, 1000, None)
    assert (third.objective, third.epochs, third.billable_seconds, third.best) == (None, None, None, False)
    assert first.values == {"learning-rate": "0.001"}


@pytest.mark.parametrize(
    ("config", "secondary", "status", "note"),
    [
        ({"TrainingJobEarlyStoppingType": "Auto"}, "Stopped", "Completed", "early"),
        ({"Strategy": "Hyperband"}, "Stopped", "InProgress", "early"),
        ({"TrainingJobEarlyStoppingType": "Auto"}, "Stopped", "Stopped", ""),
        ({}, "Stopped", "Completed", ""),
        ({"Strategy": "Hyperband"}, "MaxRuntimeExceeded", "Completed", "out of time"),
        ({}, "MaxWaitTimeExceeded", "Completed", "no spot capacity in time"),
    ],
)
def test_a_stopped_trial_says_why_where_that_can_be_told(
    service: Service,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    config: dict[str, str],
    secondary: str,
    status: str,
    note: str,
) -> None:
    run_of(monkeypatch, "Executing", tune=StepRun("TuneModel", "Executing", metadata=JOB))
    service.add("Stopped", 0.4, SecondaryStatus=secondary)
    service.answer(status, **config)
    [trial] = trials.read(settings, "latest").trials
    assert (trial.status, trial.note) == ("Stopped", note)


@pytest.mark.parametrize("metadata", [JOB, {}])
def test_a_cached_step_leads_to_the_job_of_the_run_it_was_taken_from(
    service: Service, settings: Settings, monkeypatch: pytest.MonkeyPatch, metadata: dict[str, Any]
) -> None:
    cached = StepRun("TuneModel", "Succeeded", cached_from=EARLIER, metadata=metadata)
    run_of(monkeypatch, "Succeeded", tune=cached, earlier=StepRun("TuneModel", "Succeeded", metadata=JOB))
    service.add("Completed", 0.5)
    service.answer("Completed")
    job = trials.read(settings, "latest")
    assert (job.name, job.run, job.cached_from, len(job.trials)) == ("tune-1", "run1", "run0", 1)


@pytest.mark.parametrize(
    ("status", "step", "message"),
    [
        (
            "Executing",
            StepRun("TuneModel", "Waiting"),
            r"the run run1 has no tuning job yet \(TuneModel: Waiting\); follow it: python -m pipeline watch run1",
        ),
        ("Executing", StepRun("TuneModel", "Starting"), r"no tuning job yet \(TuneModel: Starting\)"),
        ("Failed", None, r"the run run1 ended \(Failed\) before its tuning job; use another"),
        (
            "Failed",
            StepRun("TuneModel", "Failed", failure="no such role"),
            "the run run1 failed to start its tuning job: no such role",
        ),
    ],
)
def test_a_run_without_a_tuning_job_is_one_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, status: str, step: StepRun | None, message: str
) -> None:
    run_of(monkeypatch, status, tune=step)
    with pytest.raises(PipelineError, match=message):
        trials.read(settings, "latest")


def test_a_tuning_job_that_is_gone_is_one_line(
    service: Service, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_of(monkeypatch, "Succeeded", tune=StepRun("TuneModel", "Succeeded", metadata=JOB))
    service.stubber.add_client_error("describe_hyper_parameter_tuning_job", "ResourceNotFound", "can't find")
    with pytest.raises(PipelineError, match="the tuning job tune-1 of the run run1 no longer exists"):
        trials.read(settings, "latest")


def test_a_trial_is_chosen_by_number_or_is_the_best(
    service: Service, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_of(monkeypatch, "Executing", tune=StepRun("TuneModel", "Executing", metadata=JOB))
    service.add("Completed", 0.5)
    service.add("Completed", 0.6)
    service.answer("InProgress")
    job = trials.read(settings, "latest")
    assert (job.trial().number, job.trial(1).number) == (2, 1)
    with pytest.raises(PipelineError, match="there is no trial 3; the tuning job tune-1 has trials 1 to 2"):
        job.trial(3)


def test_without_a_value_there_is_no_best_trial(
    service: Service, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_of(monkeypatch, "Executing", tune=StepRun("TuneModel", "Failed", metadata=JOB))
    service.add("Failed", FailureReason="a damaged shard")
    service.answer("Failed")
    job = trials.read(settings, "latest")
    assert (job.failure, job.trials[0].failure) == ("All training jobs failed", "a damaged shard")
    with pytest.raises(PipelineError, match="no trial of the tuning job tune-1 has reported its validation:best_acc"):
        job.trial()


def test_the_ranges_of_the_search_are_read_with_their_scales(
    service: Service, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_of(monkeypatch, "Executing", tune=StepRun("TuneModel", "Executing", metadata=JOB))
    ranges = {
        "ContinuousParameterRanges": [
            {"Name": "rate", "MinValue": "0.0001", "MaxValue": "0.01", "ScalingType": "Logarithmic"}
        ],
        "IntegerParameterRanges": [{"Name": "depth", "MinValue": "2", "MaxValue": "8"}],
        "CategoricalParameterRanges": [{"Name": "optimizer", "Values": ['"adamw"', '"sgd"']}],
    }
    service.answer("InProgress", ParameterRanges=ranges)
    assert trials.read(settings, "latest").ranges == (
        trials.SearchRange("depth", 2.0, 8.0, "Auto"),
        trials.SearchRange("optimizer", values=("adamw", "sgd")),
        trials.SearchRange("rate", 0.0001, 0.01, "Logarithmic"),
    )
