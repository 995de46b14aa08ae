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
    """A version of the model. `status` is the decision on it, `package_status` that of its making.

    What the evaluation says is None or empty where it is no longer in S3. `champion` is what the version was compared
    with when it was made, `accuracy_change` what it gained over that.
    """

    version: int
    status: str
    accuracy: float | None
    rmse: float | None
    mae: float | None
    within_one: float | None
    champion: str
    accuracy_change: float | None
    split: str
    dataset_sha256: str
    created: datetime
    comment: str
    run: str
    package_status: str
    arn: str
    evaluation_uri: str

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
    if version.status == decision:
        raise PipelineError(f"{version.name} is {decision.lower()} already; nothing was changed")
    if decision == "Approved" and version.package_status != "Completed":
        raise PipelineError(f"{version.name} cannot be approved: its status is {version.package_status}, not Completed")
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


def describe(settings: Settings, arn: str) -> dict[str, Any]:
    """The package `arn` as the registry has it."""
    package: dict[str, Any] = client(settings, "sagemaker").describe_model_package(ModelPackageName=arn)
    return package


def _describe(sagemaker: Any, s3: Any, arn: str) -> Version:
    package = sagemaker.describe_model_package(ModelPackageName=arn)
    uri = package.get("ModelMetrics", {}).get("ModelQuality", {}).get("Statistics", {}).get("S3Uri", "")
    found = read_evaluation(s3, uri) if uri else {}
    return Version(
        version=package["ModelPackageVersion"],
        status=package.get("ModelApprovalStatus", ""),
        accuracy=number(found, "multiclass_classification_metrics", "accuracy", "value"),
        rmse=number(found, "regression_metrics", "rmse", "value"),
        mae=number(found, "regression_metrics", "mae", "value"),
        within_one=number(found, "within_one", "value"),
        champion=_text(found, "gate", "champion"),
        accuracy_change=number(found, "champion", "accuracy", "value"),
        split=_text(found, "dataset", "split"),
        dataset_sha256=_text(found, "dataset", "sha256"),
        created=package["CreationTime"],
        comment=package.get("ApprovalDescription", ""),
        run=package.get("CustomerMetadataProperties", {}).get("pipeline_execution_arn", "").rsplit("/", 1)[-1],
        package_status=package["ModelPackageStatus"],
        arn=arn,
        evaluation_uri=uri,
    )


def read_evaluation(s3: Any, uri: str) -> dict[str, Any]:
    """The evaluation at `uri`, of this or of an earlier release; empty where it is no longer there."""
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


def _at(evaluation: Mapping[str, Any], *path: str) -> Any:
    value: Any = evaluation
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def number(evaluation: Mapping[str, Any], *path: str) -> float | None:
    """The number at `path` of an evaluation, None where it has none."""
    value = _at(evaluation, *path)
    return None if value is None else float(value)


def _text(evaluation: Mapping[str, Any], *path: str) -> str:
    value = _at(evaluation, *path)
    return value if isinstance(value, str) else ""
