"""Versions of the model, their metrics, and the decision on each."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest

from pipeline.errors import PipelineError
from pipeline.operations import registry
from pipeline.settings import Settings

pytestmark = pytest.mark.usefixtures("account")
EVALUATION = {
    "multiclass_classification_metrics": {"accuracy": {"value": 0.58, "standard_deviation": 0.01}},
    "regression_metrics": {"rmse": {"value": 0.91, "standard_deviation": 0.02}},
}


@pytest.fixture
def sagemaker(account: None, settings: Settings) -> Any:
    client = boto3.client("sagemaker", region_name="us-east-1")
    client.create_model_package_group(ModelPackageGroupName=settings.registry.group)
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket=settings.data.bucket)
    return client


def register(sagemaker: Any, settings: Settings, key: str, body: bytes | None = None) -> str:
    """A version with its evaluation at `key`; without `body` the evaluation is not in S3."""
    bucket = settings.data.bucket
    if body is not None:
        boto3.client("s3", region_name="us-east-1").put_object(Bucket=bucket, Key=key, Body=body)
    statistics = {"ContentType": "application/json", "S3Uri": f"s3://{bucket}/{key}"}
    arn: str = sagemaker.create_model_package(
        ModelPackageGroupName=settings.registry.group,
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification={
            "Containers": [{"Image": "image", "ModelDataUrl": "s3://b/model.tar.gz"}],
            "SupportedContentTypes": ["image/jpeg"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        ModelMetrics={"ModelQuality": {"Statistics": statistics}},
    )["ModelPackageArn"]
    return arn


def test_a_version_is_listed_with_the_metrics_of_its_evaluation(sagemaker: Any, settings: Settings) -> None:
    register(sagemaker, settings, "a.json", json.dumps(EVALUATION).encode())
    [version] = registry.versions(settings)
    assert (version.version, version.status) == (1, "PendingManualApproval")
    assert (version.accuracy, version.rmse) == (0.58, 0.91)


def test_a_version_whose_evaluation_is_gone_is_listed_without_metrics(sagemaker: Any, settings: Settings) -> None:
    register(sagemaker, settings, "gone.json")
    [version] = registry.versions(settings)
    assert (version.accuracy, version.rmse) == (None, None)


def test_an_evaluation_that_is_damaged_is_named(sagemaker: Any, settings: Settings) -> None:
    register(sagemaker, settings, "damaged.json", b"{")
    with pytest.raises(PipelineError, match=r"damaged\.json: not JSON"):
        registry.versions(settings)


def test_a_version_is_found_by_latest_by_number_and_by_arn(sagemaker: Any, settings: Settings) -> None:
    first = register(sagemaker, settings, "a.json")
    second = register(sagemaker, settings, "b.json")
    assert registry.resolve(settings, "1").arn == first
    assert registry.resolve(settings, second).version == 2
    assert registry.resolve(settings, "latest").version in (1, 2)


def test_a_version_that_is_not_there_is_named(sagemaker: Any, settings: Settings) -> None:
    register(sagemaker, settings, "a.json")
    with pytest.raises(PipelineError, match="has no version 7"):
        registry.resolve(settings, "7")


def test_what_names_no_version_is_refused_before_it_is_asked_for(settings: Settings) -> None:
    with pytest.raises(PipelineError, match="'newest' names no version"):
        registry.resolve(settings, "newest")


def test_latest_of_none_is_said(sagemaker: Any, settings: Settings) -> None:
    with pytest.raises(PipelineError, match="no model is registered"):
        registry.resolve(settings, "latest")


def test_an_approval_is_kept_with_its_comment(sagemaker: Any, settings: Settings) -> None:
    arn = register(sagemaker, settings, "a.json")
    approved = registry.decide(settings, "latest", "Approved", "looks good")
    assert (approved.status, approved.comment) == ("Approved", "looks good")
    assert sagemaker.describe_model_package(ModelPackageName=arn)["ModelApprovalStatus"] == "Approved"


@pytest.mark.parametrize("decision", ["Approved", "Rejected"])
def test_a_decision_that_stands_is_not_taken_again(
    sagemaker: Any, settings: Settings, decision: registry.Decision
) -> None:
    register(sagemaker, settings, "a.json")
    registry.decide(settings, "1", decision)
    with pytest.raises(PipelineError, match=f"version 1 is {decision.lower()} already"):
        registry.decide(settings, "1", decision)


def test_an_approved_version_can_be_rejected(sagemaker: Any, settings: Settings) -> None:
    register(sagemaker, settings, "a.json")
    registry.decide(settings, "1", "Approved")
    assert registry.decide(settings, "1", "Rejected", "counts badly").status == "Rejected"
