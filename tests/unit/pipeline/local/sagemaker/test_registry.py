"""Kind: members of a package version that a request sets and no answer has."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.local.context import ServiceError
from pipeline.local.services import Services
from tests.unit.pipeline.local.sagemaker.conftest import call

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/serve:1"
STAGE = {"Stage": "Development", "StageStatus": "Approved", "StageDescription": "by hand"}


def specification(name: str = "", **environment: str) -> dict[str, Any]:
    container: dict[str, Any] = {"Image": IMAGE, "ModelDataUrl": "s3://bucket/model.tar.gz"}
    if environment:
        container["Environment"] = environment
    return {"Containers": [container], **({"Name": name} if name else {})}


@pytest.fixture
def version(services: Services, monkeypatch: pytest.MonkeyPatch) -> str:
    """ARN of a version with one additional specification; its model data can be read."""
    monkeypatch.setattr(services.identity, "client", lambda *_: Readable())
    call(services, "CreateModelPackageGroup", ModelPackageGroupName="bins")
    created = call(
        services,
        "CreateModelPackage",
        ModelPackageGroupName="bins",
        ModelApprovalStatus="Approved",
        InferenceSpecification={
            **specification(),
            "SupportedContentTypes": ["a/b"],
            "SupportedResponseMIMETypes": ["a/b"],
        },
        AdditionalInferenceSpecifications=[specification("gpu", DEVICE="gpu")],
        ModelLifeCycle=STAGE,
    )
    return str(created["ModelPackageArn"])


class Readable:
    """Stands for an S3 client: every object is there."""

    def head_object(self, **_: str) -> None:
        return None


def test_the_stage_of_a_version_is_described_and_changed(services: Services, version: str) -> None:
    described = call(services, "DescribeModelPackage", ModelPackageName=version)
    assert described["ModelLifeCycle"] == STAGE
    later = {"Stage": "Production", "StageStatus": "PendingApproval"}
    call(services, "UpdateModelPackage", ModelPackageArn=version, ModelLifeCycle=later)
    described = call(services, "DescribeModelPackage", ModelPackageName=version)
    assert described["ModelLifeCycle"] == later
    assert described["ModelApprovalStatus"] == "Approved"


def test_additional_specifications_are_added_to_those_of_the_version(services: Services, version: str) -> None:
    more = [specification("small"), specification("large")]
    call(services, "UpdateModelPackage", ModelPackageArn=version, AdditionalInferenceSpecificationsToAdd=more)
    described = call(services, "DescribeModelPackage", ModelPackageName=version)
    assert [entry["Name"] for entry in described["AdditionalInferenceSpecifications"]] == ["gpu", "small", "large"]


@pytest.mark.parametrize("names", [["gpu"], ["small", "small"], ["small", "gpu"]])
def test_two_specifications_of_one_name_are_refused(services: Services, version: str, names: list[str]) -> None:
    more = [specification(name) for name in names]
    with pytest.raises(ServiceError, match="have the same name"):
        call(services, "UpdateModelPackage", ModelPackageArn=version, AdditionalInferenceSpecificationsToAdd=more)
    described = call(services, "DescribeModelPackage", ModelPackageName=version)
    assert [entry["Name"] for entry in described["AdditionalInferenceSpecifications"]] == ["gpu"]


def test_what_a_change_adds_is_in_its_event(services: Services, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    details: list[dict[str, Any]] = []
    monkeypatch.setattr(services.events, "emit", lambda kind, resources, detail: details.append(detail))
    more = [specification("small")]
    request = {"ModelLifeCycle": {**STAGE, "Stage": "Production"}, "AdditionalInferenceSpecificationsToAdd": more}
    call(services, "UpdateModelPackage", ModelPackageArn=version, **request)
    assert details[0]["UpdatedModelPackageFields"] == ["AdditionalInferenceSpecifications", "ModelLifeCycle"]


def test_a_model_takes_the_specification_that_its_container_names(
    services: Services, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.identity, "assume", lambda *_: None)
    role = "arn:aws:iam::123456789012:role/serving"
    for name, chosen in (("plain", {}), ("gpu", {"InferenceSpecificationName": "gpu"})):
        container = {"ModelPackageName": version, **chosen}
        call(services, "CreateModel", ModelName=name, PrimaryContainer=container, ExecutionRoleArn=role)
    assert services._models.container("plain")["Environment"] == {}
    assert services._models.container("gpu")["Environment"] == {"DEVICE": "gpu"}
    container = {"ModelPackageName": version, "InferenceSpecificationName": "tpu"}
    with pytest.raises(ServiceError, match="has no inference specification 'tpu'"):
        call(services, "CreateModel", ModelName="tpu", PrimaryContainer=container, ExecutionRoleArn=role)
