"""The Lambda handler: its events, its environment, its output and its log."""

import json

import pytest

from steps.deploy import handler
from steps.deploy.clients import Clients
from steps.deploy.events import Order, Version, endpoint_change_of, order_of
from steps.deploy.settings import DeployError, Settings

ARN = "arn:aws:sagemaker:us-east-1:123456789012:model-package/bins/7"
ENVIRONMENT = {
    "ENDPOINT_NAME": "counting",
    "MODEL_PACKAGE_GROUP": "bins",
    "SERVING_ROLE_ARN": "arn:aws:iam::123456789012:role/bins-serving",
    "INSTANCE_TYPE": "ml.c5.xlarge",
    "INSTANCE_COUNT": "2",
    "ALARMS": "errors,latency",
}
VERSION = Version(ARN, "bins", 7)


@pytest.mark.parametrize(
    ("event", "order"),
    [
        ({"model_package_arn": ARN}, Order(VERSION)),
        ({"model_package_arn": ARN, "at_once": True}, Order(VERSION, at_once=True)),
        ({"detail": {"ModelPackageArn": ARN}, "time": "2026-11-23T10:00:00Z"}, Order(VERSION, "2026-11-23T10:00:00Z")),
    ],
)
def test_each_kind_of_event_names_a_version(event, order):
    assert order_of(event) == order


@pytest.mark.parametrize(
    "event", [{}, None, [], {"detail": None}, {"model_package_arn": "bins/7"}, {"model_package_arn": 7}]
)
def test_another_event_is_refused(event):
    with pytest.raises(DeployError):
        order_of(event)


def test_the_event_of_an_endpoint_wants_its_name_and_status():
    with pytest.raises(DeployError, match="EndpointStatus"):
        endpoint_change_of({"detail-type": "SageMaker Endpoint State Change", "detail": {}})


def test_the_environment_is_read_by_the_fields_types():
    settings = Settings.from_environment(ENVIRONMENT)
    assert (settings.instance_count, settings.alarms) == (2, ("errors", "latency"))
    assert not settings.scales


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"ENDPOINT_NAME": ""}, "ENDPOINT_NAME"),
        ({"INSTANCE_COUNT": "two"}, "INSTANCE_COUNT"),
        ({"MODE": "x"}, "MODE"),
        ({"SUBNETS": "subnet-01234567", "SECURITY_GROUPS": ""}, "SUBNETS and SECURITY_GROUPS go together"),
    ],
)
def test_a_wrong_environment_is_named(change, named):
    with pytest.raises(DeployError, match=named):
        Settings.from_environment({**ENVIRONMENT, **change})


def test_it_answers_flat_strings_and_logs_each_decision(account, monkeypatch, capsys):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Clients, "connect", lambda: account.aws)
    output = handler.handle({"model_package_arn": account.register().arn}, None)
    assert (output["decision"], output["model_package_version"]) == ("creating", "1")
    assert all(isinstance(value, str) for value in output.values())
    assert json.loads(capsys.readouterr().out)["decision"] == "creating"
    detail = {"EndpointName": "counting", "EndpointStatus": "IN_SERVICE"}
    handler.handle({"detail-type": "SageMaker Endpoint State Change", "detail": detail}, None)
    assert json.loads(capsys.readouterr().out)["decision"] == "accepted"
