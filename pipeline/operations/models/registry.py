"""The Model Registry: the versions with what they reached, and the decision on each."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Literal

from pipeline.aws.responses import error_if_missing
from pipeline.clients import client
from pipeline.operations.models import evaluations
from pipeline.operations.models.evaluations import Evaluation
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

LATEST = "latest"
Decision = Literal["Approved", "Rejected"]
# Versions are described this many at a time, which stays below the service's throttling.
THREADS = 8
_ARN = re.compile(r"arn:[^:]+:sagemaker:[^:]+:\d+:model-package/.+")


@dataclass(frozen=True)
class Version:
    """A version of the model. `status` is the approval's, `package_status` that of the package itself.

    The evaluation is empty where it is damaged or no longer in S3.
    """

    arn: str
    version: int
    status: str
    package_status: str
    created: datetime
    comment: str
    evaluation_uri: str
    run: str
    evaluation: Evaluation

    @property
    def name(self) -> str:
        """How a person names it."""
        return f"version {self.version}"

    def flat(self) -> dict[str, Any]:
        """For machines: the evaluation's figures beside the package's, no level between them."""
        own = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "evaluation"}
        return {"version": own.pop("version"), "status": own.pop("status")} | asdict(self.evaluation) | own


def versions(settings: Settings, limit: int = 20) -> list[Version]:
    """The newest versions, newest first, each with the metrics of its evaluation."""
    sagemaker, s3 = client(settings, "sagemaker"), client(settings, "s3")
    arns = _newest(settings, sagemaker, limit)
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda arn: _describe(sagemaker, s3, arn), arns))
    return sorted(found, key=lambda one: one.version, reverse=True)


def resolve(settings: Settings, reference: str) -> Version:
    """The version that `latest`, a number or an ARN names. Raises PipelineError where there is none."""
    sagemaker, s3 = client(settings, "sagemaker"), client(settings, "s3")
    group = settings.registry.group
    if reference == LATEST:
        newest = _newest(settings, sagemaker, 1)
        if not newest:
            raise PipelineError(no_versions(settings))
        return _describe(sagemaker, s3, newest[0])
    arn = reference
    if reference.isdecimal():
        account = settings.account
        arn = f"arn:aws:sagemaker:{account.region}:{account.id}:model-package/{group}/{reference}"
    elif not _ARN.fullmatch(reference):
        raise PipelineError(f"{reference!r} names no version; write a number, a model package's ARN or {LATEST}")
    with error_if_missing(f"the group {group} has no version {reference}; see them: python -m pipeline models"):
        return _describe(sagemaker, s3, arn)


def approved(settings: Settings) -> list[int]:
    """Numbers of the approved versions, newest first."""
    pages = (
        client(settings, "sagemaker")
        .get_paginator("list_model_packages")
        .paginate(ModelPackageGroupName=settings.registry.group, ModelApprovalStatus="Approved")
    )
    return sorted(
        (one["ModelPackageVersion"] for page in pages for one in page["ModelPackageSummaryList"]), reverse=True
    )


def no_versions(settings: Settings) -> str:
    """That there is none, and what makes one."""
    group = settings.registry.group
    return f"no versions in the group {group} yet; a run that passes its gate registers one: python -m pipeline start"


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
    with error_if_missing(upsert):
        return [one["ModelPackageArn"] for page in pages for one in page["ModelPackageSummaryList"]]


def _describe(sagemaker: Any, s3: Any, arn: str) -> Version:
    package = sagemaker.describe_model_package(ModelPackageName=arn)
    if "ModelPackageVersion" not in package:
        raise PipelineError(f"{arn} is no version of a group; see the versions: python -m pipeline models")
    uri = package.get("ModelMetrics", {}).get("ModelQuality", {}).get("Statistics", {}).get("S3Uri", "")
    return Version(
        arn=arn,
        version=package["ModelPackageVersion"],
        status=package.get("ModelApprovalStatus", ""),
        package_status=package["ModelPackageStatus"],
        created=package["CreationTime"],
        comment=package.get("ApprovalDescription", ""),
        evaluation_uri=uri,
        run=package.get("CustomerMetadataProperties", {}).get("pipeline_execution_arn", "").rsplit("/", 1)[-1],
        evaluation=evaluations.read(s3, uri),
    )
