"""The requests of a deployment: names, guardrails, capture and encryption."""

import dataclasses

import pytest

from pipeline.aws.validation import validate_request
from steps.deploy import requests
from steps.deploy.events import Version
from steps.deploy.release import Release
from steps.deploy.settings import Settings
from tests.unit.steps.arguments import DEPLOY

VERSION = Version("arn:aws:sagemaker:us-east-1:123456789012:model-package/bins/3", "bins", 3)
RELEASE = Release("image:1", "s3://bins/released/3-0123/model.tar.gz", {"MODEL_VERSION": "3"}, "")
SETTINGS = Settings(**{**DEPLOY, "endpoint_name": "bins", "instance_count": 2})

VPC = {"subnets": ("subnet-01234567", "subnet-89abcdef"), "security_groups": ("sg-01234567",)}


def with_number(number):
    return dataclasses.replace(VERSION, number=number)


def name(settings, version=VERSION):
    return requests.endpoint_config(settings, version, RELEASE)["EndpointConfigName"]


def test_names_stay_within_63_characters_and_differ_by_version():
    long = dataclasses.replace(SETTINGS, endpoint_name="b" * 63)
    names = {name(long, with_number(number)) for number in range(1, 100)}
    assert len(names) == 99
    assert all(len(one) <= 63 for one in names)


@pytest.mark.parametrize(
    ("instances", "percent", "canary"), [(2, 10, 1), (4, 30, 1), (10, 30, 3), (3, 50, 1), (100, 10, 10), (2, 50, 1)]
)
def test_a_canary_is_at_least_an_instance_and_at_most_half_of_them(instances, percent, canary):
    settings = dataclasses.replace(SETTINGS, canary_percent=percent)
    routing = requests.deployment_config(settings, instances)["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    assert routing["CanarySize"] == {"Type": "INSTANCE_COUNT", "Value": canary}


def test_one_instance_moves_all_at_once_and_is_watched_all_the_same():
    settings = dataclasses.replace(SETTINGS, alarms=("errors",), baking_seconds=120)
    config = requests.deployment_config(settings, 1)
    assert config["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["Type"] == "ALL_AT_ONCE"
    assert config["BlueGreenUpdatePolicy"]["TerminationWaitInSeconds"] == 120
    assert config["AutoRollbackConfiguration"] == {"Alarms": [{"AlarmName": "errors"}]}


def test_a_key_encrypts_captures_and_the_volume_where_it_can():
    settings = dataclasses.replace(SETTINGS, kms_key="key", capture_uri="s3://b/captures", capture_percent=5)
    config = requests.endpoint_config(settings, VERSION, RELEASE)
    assert config["KmsKeyId"] == "key"
    assert config["DataCaptureConfig"]["KmsKeyId"] == "key"
    for own_disks in ("ml.g4dn.xlarge", "ml.g5.2xlarge", "ml.c5d.xlarge", "ml.p4de.24xlarge", "ml.m6gd.large"):
        with_disks = requests.endpoint_config(dataclasses.replace(settings, instance_type=own_disks), VERSION, RELEASE)
        assert "KmsKeyId" not in with_disks
        assert with_disks["DataCaptureConfig"]["KmsKeyId"] == "key"


def test_a_model_runs_without_a_network_and_in_the_vpc_where_there_is_one():
    assert "VpcConfig" not in requests.model(SETTINGS, RELEASE, "c")
    model = requests.model(dataclasses.replace(SETTINGS, **VPC), RELEASE, "c")
    assert model["EnableNetworkIsolation"] is True
    assert model["VpcConfig"] == {"Subnets": list(VPC["subnets"]), "SecurityGroupIds": list(VPC["security_groups"])}


def test_a_serverless_model_asks_for_neither_since_the_service_has_neither():
    model = requests.model(dataclasses.replace(SETTINGS, mode="serverless", **VPC), RELEASE, "c")
    assert not {"EnableNetworkIsolation", "VpcConfig"} & set(model)


def test_another_vpc_is_another_configuration():
    other = {**VPC, "subnets": ("subnet-fedcba98",)}
    names = {name(dataclasses.replace(SETTINGS, **vpc)) for vpc in ({}, VPC, other)}
    assert len(names) == 3


@pytest.mark.parametrize("mode", ["real-time", "serverless"])
def test_the_service_would_take_every_request(mode):
    settings = dataclasses.replace(
        SETTINGS, mode=mode, kms_key="key", capture_uri="s3://b/captures", capture_percent=5, alarms=("errors",), **VPC
    )
    config = requests.endpoint_config(settings, VERSION, RELEASE)
    model = requests.model(settings, RELEASE, config["EndpointConfigName"])
    assert config["ProductionVariants"][0]["ModelName"] == model["ModelName"]
    assert validate_request("sagemaker", "CreateModel", model) == []
    assert validate_request("sagemaker", "CreateEndpointConfig", config) == []
    for deployment in (requests.deployment_config(settings, 4), requests.swift_deployment_config(settings)):
        update = {"EndpointName": "bins", "EndpointConfigName": "c", "DeploymentConfig": deployment}
        assert validate_request("sagemaker", "UpdateEndpoint", update) == []
