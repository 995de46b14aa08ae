"""The Lambda handler: its events, its environment, its output and its log."""

import dataclasses
import json
from types import SimpleNamespace

import pytest

from steps.contracts import names
from steps.deploy import handler
from steps.deploy.events import (
    DeployRequest,
    RollbackRequest,
    Version,
    read_endpoint_change,
    read_request,
    read_rollback,
)
from steps.deploy.settings import Clients, DeployError, Settings
from tests.unit.steps.arguments import DEPLOY

ARN = "arn:aws:sagemaker:us-east-1:123456789012:model-package/bins/7"
ENVIRONMENT = {name.upper(): str(value) for name, value in DEPLOY.items() if not isinstance(value, tuple)} | {
    "INSTANCE_COUNT": "2",
    "ALARMS": "errors,latency",
    "SUBNETS": "",
    "SECURITY_GROUPS": "",
}
VERSION = Version(ARN, "bins", 7)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"model_package_arn": ARN}, DeployRequest(VERSION)),
        # Only the rollback function deploys at once: the pipeline's role may invoke this one.
        ({"model_package_arn": ARN, "at_once": True}, DeployRequest(VERSION)),
        (
            {"detail": {"ModelPackageArn": ARN}, "time": "2026-11-23T10:00:00Z"},
            DeployRequest(VERSION, "2026-11-23T10:00:00Z"),
        ),
    ],
)
def test_each_kind_of_event_names_a_version(event, expected):
    assert read_request(event) == expected


@pytest.mark.parametrize(
    "event", [{}, None, [], {"detail": None}, {"model_package_arn": "bins/7"}, {"model_package_arn": 7}]
)
def test_another_event_is_refused(event):
    with pytest.raises(DeployError):
        read_request(event)


def test_a_rollback_names_its_version_and_may_have_a_comment():
    assert read_rollback({"model_package_arn": ARN}) == RollbackRequest(VERSION)
    assert read_rollback({"model_package_arn": ARN, "comment": "dark photos"}) == RollbackRequest(
        VERSION, "dark photos"
    )
    for event in ({}, None, {"detail": {"ModelPackageArn": ARN}}, {"model_package_arn": "bins/7"}):
        with pytest.raises(DeployError):
            read_rollback(event)


def test_the_event_of_an_endpoint_wants_its_name_and_status():
    with pytest.raises(DeployError, match="EndpointStatus"):
        read_endpoint_change({"detail-type": "SageMaker Endpoint State Change", "detail": {}})


def test_the_environment_is_read_by_the_fields_types():
    settings = Settings.from_environment(ENVIRONMENT)
    assert (settings.instance_count, settings.alarms) == (2, ("errors", "latency"))
    assert not settings.scales


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"ENDPOINT_NAME": ""}, "ENDPOINT_NAME"),
        ({"CANARY_SECONDS": ""}, "CANARY_SECONDS"),
        ({"INSTANCE_COUNT": "two"}, "INSTANCE_COUNT"),
        ({"MODE": "x"}, "MODE"),
        ({"SUBNETS": "subnet-01234567", "SECURITY_GROUPS": ""}, "SUBNETS and SECURITY_GROUPS go together"),
    ],
)
def test_a_wrong_environment_is_named(change, named):
    with pytest.raises(DeployError, match=named):
        Settings.from_environment({**ENVIRONMENT, **change})


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_every_variable_is_required(name):
    with pytest.raises(DeployError, match=f"lacks {name}"):
        Settings.from_environment({other: value for other, value in ENVIRONMENT.items() if other != name})


def test_it_answers_flat_strings_and_logs_each_decision(account, monkeypatch, capsys):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Clients, "connect", lambda _: account.aws)
    output = handler.handle({"model_package_arn": account.register().arn}, None)
    assert (output["decision"], output["model_package_version"]) == ("creating", "1")
    assert all(isinstance(value, str) for value in output.values())
    assert json.loads(capsys.readouterr().out)["decision"] == "creating"
    detail = {"EndpointName": "counting", "EndpointStatus": "IN_SERVICE"}
    handler.handle({"detail-type": "SageMaker Endpoint State Change", "detail": detail}, None)
    assert json.loads(capsys.readouterr().out)["decision"] == "accepted"


def test_a_rollback_logs_the_versions_that_it_rejects_and_its_decision(account, monkeypatch, capsys):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Clients, "connect", lambda _: account.aws)
    first, second = account.register(), account.register()
    handler.handle({"model_package_arn": second.arn}, None)
    account.in_service()
    capsys.readouterr()
    output = handler.handle_rollback({"model_package_arn": first.arn, "comment": "dark photos"}, None)
    assert (output["decision"], output["model_package_version"]) == ("updating", "1")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    decided = [(line["decision"], line["model_package_version"]) for line in lines]
    assert decided == [("rejected", "2"), ("updating", "1")]
    assert lines[0]["reason"] == "dark photos"


def test_the_time_that_lambda_leaves_is_the_smoke_test_s(account, monkeypatch, capsys):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Clients, "connect", lambda _: account.aws)
    handler.handle({"model_package_arn": account.register(golden=True).arn}, None)
    detail = {"EndpointName": "counting", "EndpointStatus": "IN_SERVICE"}
    context = SimpleNamespace(aws_request_id="1", get_remaining_time_in_millis=lambda: 59_000)
    output = handler.handle({"detail-type": "SageMaker Endpoint State Change", "detail": detail}, context)
    assert output["decision"] == "cleaned-up"
    assert "the endpoint is too slow" in output["reason"]


def test_a_version_that_does_not_come_up_is_an_event_for_the_alert_function(account, monkeypatch, capsys):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    sent = []
    events = SimpleNamespace(put_events=lambda Entries: sent.extend(Entries) or {"Entries": [{}]})
    monkeypatch.setattr(Clients, "connect", lambda _: dataclasses.replace(account.aws, events=events))
    handler.handle({"model_package_arn": account.register().arn}, None)
    assert sent == []
    account.endpoint.endpoint_status = "Failed"
    detail = {"EndpointName": "counting", "EndpointStatus": "FAILED"}
    handler.handle({"detail-type": "SageMaker Endpoint State Change", "detail": detail}, None)
    [entry] = sent
    assert (entry["Source"], entry["DetailType"]) == (names.EVENT_SOURCE, names.DEPLOYMENT_EVENT)
    decision = json.loads(entry["Detail"])
    assert (decision["decision"], decision["endpoint_name"], bool(decision["alert"])) == (
        "cleaned-up",
        "counting",
        True,
    )


def test_an_event_that_is_not_taken_is_a_line_of_the_log_and_the_decision_stands(account, monkeypatch, capsys):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    refusal = {"Entries": [{"ErrorCode": "ThrottlingException", "ErrorMessage": "too many"}]}
    events = SimpleNamespace(put_events=lambda Entries: refusal)
    monkeypatch.setattr(Clients, "connect", lambda _: dataclasses.replace(account.aws, events=events))
    handler.handle({"model_package_arn": account.register().arn}, None)
    account.endpoint.endpoint_status = "Failed"
    detail = {"EndpointName": "counting", "EndpointStatus": "FAILED"}
    output = handler.handle({"detail-type": "SageMaker Endpoint State Change", "detail": detail}, None)
    assert output["decision"] == "cleaned-up"
    assert "has not taken the decision: ThrottlingException: too many" in capsys.readouterr().out
