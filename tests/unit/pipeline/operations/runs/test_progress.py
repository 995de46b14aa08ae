"""A run as it goes: the service's answers stubbed, and checked against its model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from pipeline.operations.runs import progress
from pipeline.settings import Settings

pytestmark = pytest.mark.usefixtures("no_account")
ARN = "arn:aws:sagemaker:us-east-1:111122223333:pipeline/bins/execution/run1"
EARLIER = "arn:aws:sagemaker:us-east-1:111122223333:pipeline/bins/execution/run0"
TUNING = "arn:aws:sagemaker:us-east-1:111122223333:hyper-parameter-tuning-job/tune-1"
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DEFINITION = {
    "Steps": [
        {"Name": "Query", "Type": "Processing", "Arguments": {}},
        {"Name": "Tune", "Type": "Tuning", "Arguments": {}},
        {
            "Name": "Gate",
            "Type": "Condition",
            "Arguments": {
                "IfSteps": [{"Name": "Register", "Type": "RegisterModel", "Arguments": {}}],
                "ElseSteps": [{"Name": "Failed", "Type": "Fail", "Arguments": {}}],
            },
        },
    ]
}


class Service:
    """SageMaker's answers in the order in which they are asked for."""

    def __init__(self) -> None:
        self.client = boto3.client("sagemaker", region_name="us-east-1")
        self.stubber = Stubber(self.client)
        self._add("describe_pipeline_definition_for_execution", {"PipelineDefinition": json.dumps(DEFINITION)})

    def _add(self, operation: str, response: dict[str, Any], **parameters: Any) -> None:
        self.stubber.add_response(operation, response, {"PipelineExecutionArn": ARN, **parameters})

    def look(self, status: str, steps: list[dict[str, Any]], trials: list[dict[str, Any]] | None = None) -> None:
        self._add(
            "describe_pipeline_execution",
            {"PipelineExecutionArn": ARN, "PipelineExecutionStatus": status, "CreationTime": START},
        )
        self._add("list_pipeline_execution_steps", {"PipelineExecutionSteps": steps}, SortOrder="Ascending")
        if trials is not None:
            self.stubber.add_response(
                "list_training_jobs_for_hyper_parameter_tuning_job",
                {"TrainingJobSummaries": trials},
                {"HyperParameterTuningJobName": "tune-1"},
            )


@pytest.fixture
def service(no_account: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    service = Service()
    monkeypatch.setattr(progress, "client", lambda settings, name: service.client)
    with service.stubber:
        yield service
        service.stubber.assert_no_pending_responses()


def step(name: str, status: str, **more: Any) -> dict[str, Any]:
    return {"StepName": name, "StepStatus": status, "StartTime": START, **more}


def trial(number: int, status: str, objective: float | None = None) -> dict[str, Any]:
    summary: dict[str, Any] = {
        "TrainingJobName": f"trial-{number}",
        "TrainingJobArn": f"arn:aws:sagemaker:us-east-1:111122223333:training-job/trial-{number}",
        "CreationTime": START + timedelta(minutes=number),
        "TrainingJobStatus": status,
        "TunedHyperParameters": {"learning-rate": "0.001"},
    }
    if objective is not None:
        metric = {"MetricName": "validation:best_accuracy", "Value": objective}
        summary["FinalHyperParameterTuningJobObjectiveMetric"] = metric
    return summary


def test_steps_come_in_the_definitions_order_and_those_to_come_are_waiting(
    service: Service, settings: Settings
) -> None:
    service.look("Executing", [step("Tune", "Executing"), step("Query", "Succeeded")])
    state = progress.read(settings, ARN)
    assert [(one.name, one.status) for one in state.steps] == [
        ("Query", "Succeeded"),
        ("Tune", "Executing"),
        ("Gate", "Waiting"),
        ("Register", "Waiting"),
    ]


def test_a_run_that_has_ended_waits_for_nothing(service: Service, settings: Settings) -> None:
    service.look("Stopped", [step("Query", "Stopped")])
    assert [one.name for one in progress.read(settings, ARN).steps] == ["Query"]


def test_a_failed_gate_shows_the_fail_steps_own_message(service: Service, settings: Settings) -> None:
    fail = step("Failed", "Failed", FailureReason="short", Metadata={"Fail": {"ErrorMessage": "accuracy 0.1"}})
    service.look("Failed", [step("Gate", "Succeeded", Metadata={"Condition": {"Outcome": "False"}}), fail])
    failed = progress.read(settings, ARN).failed
    assert failed is not None
    assert (failed.name, failed.failure) == ("Failed", "accuracy 0.1")


def test_trials_come_oldest_first_with_their_objective(service: Service, settings: Settings) -> None:
    tune = step("Tune", "Executing", Metadata={"TuningJob": {"Arn": TUNING}})
    started = {**trial(2, "InProgress"), "TrainingStartTime": START}
    service.look("Executing", [tune], [started, trial(1, "Completed", 0.61)])
    trials = progress.read(settings, ARN).trials
    assert [(one.name, one.status) for one in trials] == [("trial-1", "Completed"), ("trial-2", "InProgress")]
    assert trials[0].objective == pytest.approx(0.61)
    assert trials[1].objective is None


CAPACITY = "Insufficient capacity error from EC2 while launching instances, retrying!"


@pytest.mark.parametrize(
    ("status", "messages", "expected"),
    [
        ("Starting", ["Starting the training job", CAPACITY], CAPACITY),
        ("Pending", [], "Pending"),
        ("Downloading", ["Downloading input data"], ""),
    ],
)
def test_a_trial_without_instances_has_what_it_waits_for(
    service: Service, settings: Settings, status: str, messages: list[str], expected: str
) -> None:
    tune = step("Tune", "Executing", Metadata={"TuningJob": {"Arn": TUNING}})
    service.look("Executing", [tune], [trial(1, "InProgress")])
    transitions = [{"Status": status, "StartTime": START, "StatusMessage": message} for message in messages]
    arn = "arn:aws:sagemaker:us-east-1:111122223333:training-job/trial-1"
    described = {
        "TrainingJobName": "trial-1",
        "TrainingJobArn": arn,
        "ModelArtifacts": {"S3ModelArtifacts": "s3://bucket/model"},
        "TrainingJobStatus": "InProgress",
        "SecondaryStatus": status,
        "StoppingCondition": {},
        "CreationTime": START,
        "SecondaryStatusTransitions": transitions,
    }
    service.stubber.add_response("describe_training_job", described, {"TrainingJobName": "trial-1"})
    (waiting,) = progress.read(settings, ARN).trials
    assert waiting.waiting == expected


def test_the_trials_of_a_cached_step_are_not_asked_for(service: Service, settings: Settings) -> None:
    cache = {"CacheHitResult": {"SourcePipelineExecutionArn": EARLIER}}
    service.look("Executing", [step("Tune", "Succeeded", Metadata={"TuningJob": {"Arn": TUNING}}, **cache)])
    state = progress.read(settings, ARN)
    assert state.steps[1].cached
    assert state.trials == ()


def test_following_reports_every_change_once_and_ends_with_the_run(
    service: Service, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.look("Executing", [step("Query", "Executing")])
    service.look("Executing", [step("Query", "Executing")])
    service.look("Executing", [step("Query", "Succeeded")])
    service.look("Succeeded", [step("Query", "Succeeded")])
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    seen = list(progress.follow(settings, ARN, interval=1.5))
    assert [(one.execution.status, one.steps[0].status) for one in seen] == [
        ("Executing", "Executing"),
        ("Executing", "Succeeded"),
        ("Succeeded", "Succeeded"),
    ]
    assert pauses == [1.5] * 3


def test_a_run_that_has_ended_is_reported_at_once(
    service: Service, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.look("Succeeded", [step("Query", "Succeeded")])

    def never(_: float) -> None:
        raise AssertionError("waited for a run that has ended")

    monkeypatch.setattr("time.sleep", never)
    assert len(list(progress.follow(settings, ARN))) == 1
