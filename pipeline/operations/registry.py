"""The Model Registry: the versions with what they reached, and the decision on each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pipeline.errors import PipelineError
from pipeline.operations.responses import missing_means, says_missing
from pipeline.session import client
from pipeline.settings import Settings

LATEST = "latest"
Decision = Literal["Approved", "Rejected"]


@dataclass(frozen=True)
class Version:
    """A version of the model. The metrics are None where the evaluation is no longer in S3."""

    arn: str
    version: int
    status: str
    approval: str
    created: datetime
    comment: str
    accuracy: float | None
    rmse: float | None
    evaluation_uri: str
    run: str

    @property
    def name(self) -> str:
        """How a person names it."""
        return f"version {self.version}"


def versions(settings: Settings, limit: int = 20) -> list[Version]:
    """The newest versions, newest first, each with the metrics of its evaluation."""
    sagemaker, s3 = client(settings, "sagemaker"), client(settings, "s3")
    return [_describe(sagemaker, s3, arn) for arn in _newest(settings, sagemaker, limit)]


def resolve(settings: Settings, reference: str) -> Version:
    """The version that `latest`, a number or an ARN names. Raises PipelineError where there is none."""
    sagemaker, s3 = client(settings, "sagemaker"), client(settings, "s3")
    group = settings.registry.group
    if reference == LATEST:
        newest = _newest(settings, sagemaker, 1)
        if not newest:
            raise PipelineError(f"no model is registered in the group {group} yet; see: python -m pipeline runs")
        return _describe(sagemaker, s3, newest[0])
    arn = reference
    if reference.isdecimal():
        account = settings.account
        arn = f"arn:aws:sagemaker:{account.region}:{account.id}:model-package/{group}/{reference}"
    elif not reference.startswith("arn:"):
        raise PipelineError(f"{reference!r} names no version; write a number, an ARN or {LATEST}")
    with missing_means(f"the group {group} has no version {reference}; see them: python -m pipeline models"):
        return _describe(sagemaker, s3, arn)


def decide(settings: Settings, reference: str, decision: Decision, comment: str = "") -> Version:
    """Approve or reject a version; an approval is what sets the deployment off.

    Raises PipelineError where the version has that status already, or is not complete.
    """
    version = resolve(settings, reference)
    if version.approval == decision:
        raise PipelineError(f"{version.name} is {decision.lower()} already; nothing was changed")
    if decision == "Approved" and version.status != "Completed":
        raise PipelineError(f"{version.name} cannot be approved: its status is {version.status}, not Completed")
    request = {"ModelPackageArn": version.arn, "ModelApprovalStatus": decision}
    if comment:
        request["ApprovalDescription"] = comment
    client(settings, "sagemaker").update_model_package(**request)
    return resolve(settings, version.arn)


def _newest(settings: Settings, sagemaker: Any, limit: int) -> list[str]:
    pages = sagemaker.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=settings.registry.group,
        SortBy="CreationTime",
        SortOrder="Descending",
        PaginationConfig={"MaxItems": limit},
    )
    upsert = f"there is no model package group {settings.registry.group}; make it: python -m pipeline upsert"
    with missing_means(upsert):
        return [one["ModelPackageArn"] for page in pages for one in page["ModelPackageSummaryList"]]


def _describe(sagemaker: Any, s3: Any, arn: str) -> Version:
    package = sagemaker.describe_model_package(ModelPackageName=arn)
    uri = package.get("ModelMetrics", {}).get("ModelQuality", {}).get("Statistics", {}).get("S3Uri", "")
    evaluation = _evaluation(s3, uri) if uri else {}
    return Version(
        arn=arn,
        version=package["ModelPackageVersion"],
        status=package["ModelPackageStatus"],
        approval=package.get("ModelApprovalStatus", ""),
        created=package["CreationTime"],
        comment=package.get("ApprovalDescription", ""),
        accuracy=_value(evaluation, "multiclass_classification_metrics", "accuracy"),
        rmse=_value(evaluation, "regression_metrics", "rmse"),
        evaluation_uri=uri,
        run=package.get("CustomerMetadataProperties", {}).get("pipeline_execution_arn", "").rsplit("/", 1)[-1],
    )


def _evaluation(s3: Any, uri: str) -> dict[str, Any]:
    from botocore.exceptions import ClientError

    bucket, _, key = uri.removeprefix("s3://").partition("/")
    try:
        body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        # Old runs are cleaned away; their versions stay in the registry.
        if says_missing(error):
            return {}
        raise
    try:
        evaluation: dict[str, Any] = json.loads(body)
    except ValueError as error:
        raise PipelineError(f"{uri}: not JSON ({error}); the version's evaluation is damaged") from error
    return evaluation


def _value(evaluation: Mapping[str, Any], group: str, metric: str) -> float | None:
    value = evaluation.get(group, {}).get(metric, {}).get("value")
    return None if value is None else float(value)
