"""The alert function: one line per thing that happened, once, however often its event comes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import boto3
import moto
import pytest
from botocore.stub import Stubber

from steps.alert import handler
from steps.alert.messages import Message, message, one_line
from steps.alert.settings import AlertError, Clients, Settings
from steps.contracts import names
from tests.conftest import FOREIGN

ARN = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/bins"
RUN = f"{ARN}/execution/ab12cd34ef56"
RUN_EVENT = "SageMaker Model Building Pipeline Execution Status Change"
ENVIRONMENT = {
    "TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:bins-alerts",
    "PIPELINE_ARN": ARN,
    "ENDPOINT_NAME": "counting",
    "ROOT_URI": "s3://bins/bin-counting",
    "COMMAND": "python -m pipeline --profile prod",
}
SETTINGS = Settings.from_environment(ENVIRONMENT)
DECISION = {
    "request_id": "r1",
    "decision": "rolling-back",
    "reason": "version 3: smoke test: photo 1",
    "endpoint_name": "counting",
    "model_package_version": "3",
    "alert": "tried 2026-01-01T00:00:00Z",
}


class Account:
    """Moto's S3 and SNS, with a queue that has the topic's messages, and SageMaker's stubbed answers."""

    def __init__(self) -> None:
        self.s3, self.sns, self.sqs = (boto3.client(name) for name in ("s3", "sns", "sqs"))
        sagemaker = boto3.client("sagemaker")
        self.answers = Stubber(sagemaker)
        self.answers.activate()
        self.aws = Clients(sagemaker, self.s3, self.sns)
        self.s3.create_bucket(Bucket="bins")
        self.sns.create_topic(Name="bins-alerts")
        self.queue = self.sqs.create_queue(QueueName="mail")["QueueUrl"]
        arn = "arn:aws:sqs:us-east-1:123456789012:mail"
        self.sns.subscribe(TopicArn=ENVIRONMENT["TOPIC_ARN"], Protocol="sqs", Endpoint=arn)

    def sent(self) -> list[str]:
        answer = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10)
        return [json.loads(item["Body"])["Message"] for item in answer.get("Messages", [])]

    def steps(self, *steps: dict[str, Any]) -> None:
        begun = {"StartTime": datetime(2026, 1, 1, tzinfo=UTC)}
        listed = {"PipelineExecutionSteps": [{**begun, **step} for step in steps]}
        self.answers.add_response("list_pipeline_execution_steps", listed, {"PipelineExecutionArn": RUN})


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name in (*FOREIGN, "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with moto.mock_aws():
        yield Account()


def run_event(**detail: Any) -> dict[str, Any]:
    failed = {"pipelineArn": ARN, "pipelineExecutionArn": RUN, "currentPipelineExecutionStatus": "Failed"}
    return {"detail-type": RUN_EVENT, "detail": {**failed, "executionEndTime": "2026-01-01T00:00:00Z", **detail}}


def decision_event(**detail: Any) -> dict[str, Any]:
    return {"detail-type": names.DEPLOYMENT_EVENT, "detail": {**DECISION, **detail}}


def test_a_failed_run_names_the_step_that_failed_first_and_the_others(account: Account) -> None:
    late, early = datetime(2026, 1, 3, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    account.steps(
        {"StepName": "B", "StepStatus": "Failed", "EndTime": late, "FailureReason": "later"},
        {"StepName": "A", "StepStatus": "Failed", "EndTime": early, "FailureReason": "no\nroom\x1b[31m left."},
        {"StepName": "C", "StepStatus": "Succeeded"},
    )
    told = message(account.aws, SETTINGS, run_event(pipelineExecutionDisplayName="nightly"))
    assert told is not None
    assert told.subject == "bins: run ab12cd34ef56 failed at A"
    assert told.text == (
        "Run nightly (ab12cd34ef56) failed at step A (and B): no room [31m left."
        " Look: python -m pipeline --profile prod watch ab12cd34ef56"
    )


def test_a_failed_step_without_times_comes_after_those_with_and_is_told_all_the_same(account: Account) -> None:
    failed = {"StepStatus": "Failed", "FailureReason": "no"}
    steps = [{**failed, "StepName": "A"}, {**failed, "StepName": "B", "StartTime": datetime(2026, 1, 1, tzinfo=UTC)}]
    listed = {"PipelineExecutionSteps": steps}
    account.answers.add_response("list_pipeline_execution_steps", listed, {"PipelineExecutionArn": RUN})
    told = message(account.aws, SETTINGS, run_event())
    assert told is not None
    assert told.text.startswith("Run ab12cd34ef56 failed at step B (and A): no.")


def test_a_refused_model_has_the_fail_steps_own_message(account: Account) -> None:
    metadata = {"Fail": {"ErrorMessage": "accuracy 0.4 (at least 0.5 wanted)"}}
    account.steps({"StepName": names.GATE_FAILED, "StepStatus": "Failed", "Metadata": metadata})
    told = message(account.aws, SETTINGS, run_event())
    assert told is not None
    assert told.subject == "bins: the quality gate refused the model of run ab12cd34ef56"
    assert told.text.endswith(
        "accuracy 0.4 (at least 0.5 wanted). Look: python -m pipeline --profile prod report ab12cd34ef56"
    )


@pytest.mark.parametrize(
    ("truth", "told"),
    [
        ({}, ""),
        ({"truth": None}, ""),
        ({"truth": {"accuracy": None, "photos": 0}}, ""),
        ({"truth": {"accuracy": 0.625, "photos": 1200}}, "; accuracy by 1,200 true counts: 62.5%"),
    ],
    ids=["an earlier monitor", "no location", "not arrived", "arrived"],
)
def test_a_drift_names_its_features_and_the_accuracy_where_true_counts_have_arrived(
    account: Account, truth: dict[str, Any], told: str
) -> None:
    feature = {"name": "sure", "psi": 0.31, "drifted": True}
    window = {"endpoint": "counting", "model_version": "3", "since": "A", "until": "B", "compared": 9, "photos": 10}
    drift = {"verdict": "drift", "features": [feature], **window, **truth}
    account.s3.put_object(Bucket="bins", Key="bin-counting/monitor/1/drift.json", Body=json.dumps(drift).encode())
    outputs = {"Outputs": [{"S3Output": {"S3Uri": "s3://bins/bin-counting/monitor/1"}}]}
    detail = {
        "ProcessingJobName": "bins-monitor-1",
        "ProcessingJobStatus": "Completed",
        "ProcessingOutputConfig": outputs,
    }
    sent = message(account.aws, SETTINGS, {"detail-type": "SageMaker Processing Job State Change", "detail": detail})
    assert sent is not None
    assert sent.text == (
        f"Drift of sure (PSI 0.31) at endpoint counting, version 3, from A to B; photos compared: 9 of 10{told}."
        " Look: python -m pipeline --profile prod monitor --job bins-monitor-1"
    )


@pytest.mark.parametrize(
    "event",
    [
        run_event(pipelineArn=f"{ARN}-other"),
        run_event(currentPipelineExecutionStatus="Stopped"),
        decision_event(endpoint_name="another"),
        {
            "detail-type": "SageMaker Processing Job State Change",
            "detail": {
                "ProcessingJobName": "bins-monitor-x-monitor-1",
                "ProcessingJobStatus": "Failed",
                "ProcessingOutputConfig": {"Outputs": [{"S3Output": {"S3Uri": "s3://others/bin-counting/monitor/1"}}]},
            },
        },
    ],
    ids=["another pipeline", "a stopped run", "another endpoint", "another pipeline's monitor"],
)
def test_what_is_not_this_pipelines_or_no_failure_is_no_message(account: Account, event: dict[str, Any]) -> None:
    assert message(account.aws, SETTINGS, event) is None


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        (None, "is not one of this function's rules"),
        ({"detail-type": "EC2", "detail": {}}, "'EC2' is not one of this function's rules"),
        ({"detail-type": RUN_EVENT, "detail": {}}, "lacks pipelineExecutionArn"),
        (run_event(pipelineExecutionArn=f"{ARN}/execution/$(reboot)"), "is not the ARN of a pipeline execution"),
    ],
)
def test_an_event_of_another_kind_is_an_error_that_names_it(account: Account, event: Any, problem: str) -> None:
    with pytest.raises(AlertError) as error:
        message(account.aws, SETTINGS, event)
    assert problem in str(error.value)


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_every_variable_is_required(name: str) -> None:
    with pytest.raises(AlertError, match=f"lacks {name}; run bootstrap again"):
        Settings.from_environment({other: value for other, value in ENVIRONMENT.items() if other != name})


def test_a_text_is_one_line_without_characters_that_steer_a_terminal() -> None:
    assert one_line("a\r\nb\x00\x1bc\u2028d") == "a b c d"
    assert one_line("x" * 700) == "x" * 597 + "..."


def test_a_deployment_that_goes_back_twice_for_one_attempt_is_one_message(
    account: Account, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Clients, "connect", lambda: account.aws)
    events = (decision_event(), decision_event(request_id="r2"), decision_event(alert="tried later"))
    for number, event in enumerate(events):
        handler.handle(event, SimpleNamespace(aws_request_id=f"call {number}"))
    lines = [json.loads(line)["alert"] for line in capsys.readouterr().out.splitlines()]
    assert lines == ["sent", "sent before", "sent"]
    sent = account.sent()
    assert len(sent) == 2
    assert sent[0] == (
        "Endpoint counting returns to the version before: version 3: smoke test: photo 1."
        " Look: python -m pipeline --profile prod endpoint"
    )


def test_lambdas_repetition_of_a_call_that_failed_sends_the_message_and_no_other_call_does(account: Account) -> None:
    content = Message("subject", "text", ("run", "1"))

    def broken(**_: Any) -> None:
        raise ConnectionError("SNS does not answer")

    failing = SimpleNamespace(s3=account.s3, sns=SimpleNamespace(publish=broken))
    with pytest.raises(ConnectionError):
        handler.publish(failing, SETTINGS, content, "first")  # type: ignore[arg-type]
    assert not handler.publish(account.aws, SETTINGS, content, "second")
    assert handler.publish(account.aws, SETTINGS, content, "first")
    assert not handler.publish(account.aws, SETTINGS, content, "first")
    assert account.sent() == ["text"]
