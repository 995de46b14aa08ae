"""The deploy function's decisions, against a registry and an endpoint that behave as SageMaker's do."""

import json

import pytest
from botocore.exceptions import ClientError

from steps.deploy import handler
from steps.deploy.deployment import deploy
from steps.deploy.events import Version, version_of
from steps.deploy.settings import DeployError, Settings

SETTINGS = Settings("bins", "bins", "arn:aws:iam::123456789012:role/serving", "ml.c5.xlarge", 1)
PREFIX = "arn:aws:sagemaker:us-east-1:123456789012:model-package/bins"


def arn(number):
    return f"{PREFIX}/{number}"


class SageMaker:
    """The operations that the function calls, on plain dictionaries; it records what was changed."""

    def __init__(self, statuses, endpoint=None):
        self.statuses = statuses
        self.endpoint = endpoint
        self.models, self.configs, self.changes = {}, {}, []

    def describe_model_package(self, ModelPackageName):
        return {"ModelApprovalStatus": self.statuses[int(ModelPackageName.rsplit("/", 1)[1])]}

    def get_paginator(self, operation):
        assert operation == "list_model_packages"
        return self

    def paginate(self, ModelPackageGroupName, ModelApprovalStatus):
        numbers = [number for number, status in self.statuses.items() if status == ModelApprovalStatus]
        return [{"ModelPackageSummaryList": [{"ModelPackageArn": arn(number)}]} for number in numbers]

    def describe_endpoint(self, EndpointName):
        if self.endpoint is None:
            message = f'Could not find endpoint "{EndpointName}".'
            raise ClientError({"Error": {"Code": "ValidationException", "Message": message}}, "DescribeEndpoint")
        return {"EndpointName": EndpointName, "EndpointArn": "arn", **self.endpoint}

    def _create(self, store, name, request):
        if name in store:
            message = f'Cannot create already existing model "{name}".'
            raise ClientError({"Error": {"Code": "ValidationException", "Message": message}}, "Create")
        store[name] = request

    def create_model(self, ModelName, **request):
        self._create(self.models, ModelName, request)

    def create_endpoint_config(self, EndpointConfigName, **request):
        self._create(self.configs, EndpointConfigName, request)

    def create_endpoint(self, EndpointName, EndpointConfigName, Tags):
        self.changes.append("create")
        self.endpoint = {"EndpointStatus": "Creating", "EndpointConfigName": EndpointConfigName}

    def update_endpoint(self, EndpointName, EndpointConfigName):
        self.changes.append("update")
        self.endpoint = {"EndpointStatus": "InService", "EndpointConfigName": EndpointConfigName}

    def add_tags(self, ResourceArn, Tags):
        self.tags = Tags

    def delete_endpoint(self, EndpointName):
        self.changes.append("delete")


def in_service(number):
    return {"EndpointStatus": "InService", "EndpointConfigName": SETTINGS.config_name(number)}


def decide(sagemaker, number, settings=SETTINGS):
    return deploy(sagemaker, settings, Version.of(arn(number))).decision


@pytest.mark.parametrize(
    ("status", "decision"), [("PendingManualApproval", "awaiting-approval"), ("Rejected", "rejected")]
)
def test_a_version_that_is_not_approved_changes_nothing(status, decision):
    sagemaker = SageMaker({1: status})
    assert decide(sagemaker, 1) == decision
    assert (sagemaker.changes, sagemaker.models) == ([], {})


def test_the_first_approved_version_makes_the_endpoint():
    sagemaker = SageMaker({1: "Approved"})
    assert decide(sagemaker, 1) == "creating"
    (model,) = sagemaker.models.values()
    assert model["Containers"] == [{"ModelPackageName": arn(1), "Environment": {"MODEL_VERSION": "1"}}]
    (config,) = sagemaker.configs.values()
    assert config["ProductionVariants"][0]["InstanceType"] == "ml.c5.xlarge"


def test_a_later_version_updates_it_and_is_tagged():
    sagemaker = SageMaker({1: "Approved", 2: "Approved"}, in_service(1))
    assert decide(sagemaker, 2) == "updating"
    assert sagemaker.endpoint == in_service(2)
    assert sagemaker.tags == [{"Key": "model-package-version", "Value": "2"}]


def test_the_same_event_twice_is_one_deployment():
    sagemaker = SageMaker({1: "Approved"})
    assert [decide(sagemaker, 1), decide(sagemaker, 1)] == ["creating", "unchanged"]
    sagemaker.endpoint["EndpointStatus"] = "InService"
    assert decide(sagemaker, 1) == "unchanged"
    assert sagemaker.changes == ["create"]


def test_of_two_approvals_the_later_version_wins_whatever_the_order():
    sagemaker = SageMaker({1: "Approved", 2: "Approved"}, in_service(2))
    assert decide(sagemaker, 1) == "superseded"
    assert sagemaker.changes == []


def test_another_instance_type_is_a_change():
    sagemaker = SageMaker({1: "Approved"}, in_service(1))
    larger = Settings("bins", "bins", SETTINGS.serving_role_arn, "ml.c5.2xlarge", 1)
    assert decide(sagemaker, 1, larger) == "updating"


def test_a_busy_endpoint_is_an_error_so_that_the_event_comes_again():
    sagemaker = SageMaker({1: "Approved", 2: "Approved"}, {**in_service(1), "EndpointStatus": "Updating"})
    with pytest.raises(DeployError, match="is Updating; deploy version 2 again"):
        decide(sagemaker, 2)


def test_a_failed_first_deployment_is_cleared_away():
    sagemaker = SageMaker({1: "Approved"}, {**in_service(1), "EndpointStatus": "Failed"})
    with pytest.raises(DeployError, match="being deleted"):
        decide(sagemaker, 1)
    assert sagemaker.changes == ["delete"]


def test_what_an_attempt_before_left_is_used():
    sagemaker = SageMaker({1: "Approved"})
    decide(sagemaker, 1)
    sagemaker.endpoint = None
    assert decide(sagemaker, 1) == "creating"


def test_a_version_of_another_group_is_refused():
    other = Version.of(PREFIX.replace("/bins", "/cats") + "/1")
    with pytest.raises(DeployError, match="not of the group bins"):
        deploy(SageMaker({1: "Approved"}), SETTINGS, other)


@pytest.mark.parametrize("event", [{"model_package_arn": arn(7)}, {"detail": {"ModelPackageArn": arn(7)}}])
def test_both_kinds_of_event_name_a_version(event):
    assert version_of(event) == Version(arn(7), "bins", 7)


@pytest.mark.parametrize(
    "event", [{}, None, [], {"detail": None}, {"model_package_arn": "bins/7"}, {"model_package_arn": 7}]
)
def test_another_event_is_refused(event):
    with pytest.raises(DeployError):
        version_of(event)


def test_names_stay_within_63_characters_and_differ_by_version():
    long = Settings("b" * 63, "bins", "role", "ml.c5.xlarge", 1)
    names = {long.config_name(number) for number in range(1, 100)}
    assert len(names) == 99
    assert all(len(name) <= 63 for name in names)


@pytest.mark.parametrize(
    ("change", "named"), [({"ENDPOINT_NAME": ""}, "ENDPOINT_NAME"), ({"INSTANCE_COUNT": "two"}, "INSTANCE_COUNT")]
)
def test_a_wrong_environment_is_named(change, named):
    environment = {
        "ENDPOINT_NAME": "bins",
        "MODEL_PACKAGE_GROUP": "bins",
        "SERVING_ROLE_ARN": "arn",
        "INSTANCE_TYPE": "ml.c5.xlarge",
        "INSTANCE_COUNT": "2",
    }
    assert Settings.from_environment(environment).instance_count == 2
    with pytest.raises(DeployError, match=named):
        Settings.from_environment({**environment, **change})


def test_the_handler_answers_flat_strings_and_logs_them(monkeypatch, capsys):
    for name, value in zip(
        ("ENDPOINT_NAME", "MODEL_PACKAGE_GROUP", "SERVING_ROLE_ARN", "INSTANCE_TYPE", "INSTANCE_COUNT"),
        ("bins", "bins", "arn", "ml.c5.xlarge", "1"),
        strict=True,
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("boto3.client", lambda service: SageMaker({3: "Approved"}))
    output = handler.handle({"model_package_arn": arn(3)}, None)
    assert output["decision"] == "creating"
    assert output["model_package_version"] == "3"
    assert all(isinstance(value, str) for value in output.values())
    assert json.loads(capsys.readouterr().out)["decision"] == "creating"
