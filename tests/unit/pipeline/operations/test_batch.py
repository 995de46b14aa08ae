"""A batch transform job's requests. What the job does is tested on the local cloud."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from pipeline.operations import batch
from pipeline.settings import Settings
from pipeline.validation import validate_request
from tests.unit.pipeline.operations.conftest import KEY

Requests = dict[str, dict[str, Any]]


@pytest.fixture
def requests(account: None, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Requests:
    """What SageMaker was asked, by operation; the account has an approved version 1, and a photo."""
    made: Requests = {}
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", boto3.Session(region_name="us-east-1"))
    boto3.DEFAULT_SESSION.events.register(
        "provide-client-params.sagemaker.*", lambda params, model, **_: made.update({model.name: dict(params)})
    )
    s3, sagemaker = boto3.client("s3"), boto3.client("sagemaker")
    s3.create_bucket(Bucket="photos")
    s3.put_object(Bucket="photos", Key="new/1.jpg", Body=b"a photo")
    s3.create_bucket(Bucket=settings.data.bucket)
    sagemaker.create_model_package_group(ModelPackageGroupName=settings.registry.group)
    sagemaker.create_model_package(
        ModelPackageGroupName=settings.registry.group,
        ModelApprovalStatus="Approved",
        InferenceSpecification={
            "Containers": [{"Image": "image", "ModelDataUrl": "s3://photos/model.tar.gz"}],
            "SupportedContentTypes": ["image/jpeg"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    )
    return made


def test_without_a_vpc_or_a_key_neither_is_asked_for(requests: Requests, settings: Settings) -> None:
    job = batch.start(settings, "s3://photos/new/")
    assert (job.version, job.source) == (1, "s3://photos/new/")
    model, transform = requests["CreateModel"], requests["CreateTransformJob"]
    assert model["EnableNetworkIsolation"] is True
    assert "VpcConfig" not in model
    assert "KmsKeyId" not in transform["TransformOutput"]
    assert "VolumeKmsKeyId" not in transform["TransformResources"]


def test_the_model_runs_in_the_vpc_and_the_job_encrypts_what_it_keeps(requests: Requests, secure: Settings) -> None:
    batch.start(secure, "s3://photos/new/")
    model, transform = requests["CreateModel"], requests["CreateTransformJob"]
    assert model["VpcConfig"] == {"SecurityGroupIds": ["sg-01234567"], "Subnets": ["subnet-01234567"]}
    assert transform["TransformOutput"]["KmsKeyId"] == KEY
    assert transform["TransformResources"]["VolumeKmsKeyId"] == KEY
    for operation in ("CreateModel", "CreateTransformJob"):
        assert validate_request("sagemaker", operation, requests[operation]) == []


def test_a_type_with_disks_of_its_own_gets_no_key_for_them(requests: Requests, secure: Settings) -> None:
    endpoint = secure.endpoint.model_copy(update={"batch_instance_type": "ml.g5.xlarge"})
    batch.start(secure.model_copy(update={"endpoint": endpoint}), "s3://photos/new/")
    assert "VolumeKmsKeyId" not in requests["CreateTransformJob"]["TransformResources"]
