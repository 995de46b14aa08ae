"""The Model Registry: versions with their metrics, and the decision on each."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Literal

from pipeline.aws.arns import name_of
from pipeline.aws.pages import items
from pipeline.aws.responses import error_if_missing
from pipeline.clients import client
from pipeline.operations.models import evaluations
from pipeline.operations.models.evaluations import Evaluation
from pipeline.parallel import parallel_map
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from steps.contracts.names import EVALUATION_SHA256

LATEST = "latest"
Decision = Literal["Approved", "Rejected"]
# The most that a page of ListModelPackages has:
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ListModelPackages.html
_PAGE = 100
_ARN = re.compile(r"arn:[^:]+:sagemaker:[^:]+:\d+:model-package/.+")


@dataclass(frozen=True)
class Version:
    """A version of the model. `status` is the approval's, `package_status` the package's own.

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
        """The version in words: `version 3`."""
        return f"version {self.version}"

    def flat(self) -> dict[str, Any]:
        """The version as JSON values, with the evaluation's figures at the same level."""
        own = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "evaluation"}
        return {"version": own.pop("version"), "status": own.pop("status")} | asdict(self.evaluation) | own


@dataclass(frozen=True)
class Summary:
    """What the list of a group has of a version; `status` is the approval's, `package_status` the package's own."""

    arn: str
    version: int
    status: str
    package_status: str
    created: datetime


def versions(settings: Settings, limit: int = 20) -> list[Version]:
    """The newest versions, newest first, each with the metrics of its evaluation."""
    arns = [summary.arn for summary in summaries(settings, limit)]
    described = parallel_map(Reader(settings).read, arns)
    return sorted(described, key=lambda version: version.version, reverse=True)


def summaries(settings: Settings, limit: int, status: str = "") -> list[Summary]:
    """The newest versions, newest first, without their metrics; those with an approval `status` where it is given.

    Raises PipelineError where there is no group.
    """
    return _newest(settings, client(settings, "sagemaker"), limit, status)


class Reader:
    """Reads versions with the metrics of their evaluations; several threads may share it."""

    def __init__(self, settings: Settings) -> None:
        self._sagemaker, self._s3 = client(settings, "sagemaker"), client(settings, "s3")

    def read(self, arn: str) -> Version:
        """The version with this ARN."""
        return _describe(self._sagemaker, self._s3, arn)


def resolve(settings: Settings, reference: str) -> Version:
    """The version that `latest`, a number or an ARN refers to. Raises PipelineError where there is none."""
    sagemaker, s3 = client(settings, "sagemaker"), client(settings, "s3")
    group = settings.registry.group
    if reference == LATEST:
        if not (newest := _newest(settings, sagemaker, 1)):
            raise PipelineError(no_versions(settings))
        return _describe(sagemaker, s3, newest[0].arn)
    arn = reference
    if reference.isdecimal():
        account = settings.account
        arn = f"arn:aws:sagemaker:{account.region}:{account.id}:model-package/{group}/{reference}"
    elif not _ARN.fullmatch(reference):
        raise PipelineError(f"{reference!r} is no version; write a number, a model package's ARN or {LATEST}")
    with error_if_missing(f"the group {group} has no version {reference}; see them: python -m pipeline models"):
        return _describe(sagemaker, s3, arn)


def approved(settings: Settings) -> list[int]:
    """Numbers of the approved versions, newest first."""
    paginator = client(settings, "sagemaker").get_paginator("list_model_packages")
    request = {"ModelPackageGroupName": settings.registry.group, "ModelApprovalStatus": "Approved"}
    packages = items(paginator, "ModelPackageSummaryList", **request)
    return sorted((package["ModelPackageVersion"] for package in packages), reverse=True)


def latest_approved(settings: Settings) -> Version:
    """The approved version with the highest number. Raises PipelineError where none is approved."""
    if not (numbers := approved(settings)):
        raise PipelineError(
            f"no version of {settings.registry.group} is approved; approve one: python -m pipeline approve latest"
        )
    return resolve(settings, str(numbers[0]))


def no_versions(settings: Settings) -> str:
    """A message for a group without versions."""
    group = settings.registry.group
    return f"no versions in the group {group} yet; a run that passes its gate registers one: python -m pipeline start"


def check(settings: Settings, reference: str, decision: Decision) -> Version:
    """The version that `reference` refers to, if it can be approved or rejected.

    Raises PipelineError with the reason of `refusal`.
    """
    version = resolve(settings, reference)
    if reason := refusal(version, decision):
        raise PipelineError(reason)
    return version


def refusal(version: Version, decision: Decision) -> str:
    """Why a version cannot be approved or rejected; empty where it can.

    It has that status already, or, for an approval, it is not complete, or its evaluation cannot be read or was
    changed.
    """
    if version.status == decision:
        return f"{version.name} is {decision.lower()} already; nothing was changed"
    if decision == "Approved" and version.package_status != "Completed":
        return f"{version.name} cannot be approved: its status is {version.package_status}, not Completed"
    if decision == "Approved" and version.evaluation.problem:
        return f"{version.name} cannot be approved: {version.evaluation.problem}"
    return ""


def decide(settings: Settings, reference: str, decision: Decision, comment: str = "") -> Version:
    """Approve or reject a version; an approval starts the deployment. Raises PipelineError as `check` does."""
    version = check(settings, reference, decision)
    request = {"ModelPackageArn": version.arn, "ModelApprovalStatus": decision}
    if comment:
        request["ApprovalDescription"] = comment
    client(settings, "sagemaker").update_model_package(**request)
    return resolve(settings, version.arn)


def _newest(settings: Settings, sagemaker: Any, limit: int, status: str = "") -> list[Summary]:
    packages = items(
        sagemaker.get_paginator("list_model_packages"),
        "ModelPackageSummaryList",
        ModelPackageGroupName=settings.registry.group,
        SortBy="CreationTime",
        SortOrder="Descending",
        # SageMaker's own pages have ten.
        PaginationConfig={"MaxItems": limit, "PageSize": min(limit, _PAGE)},
        **({"ModelApprovalStatus": status} if status else {}),
    )
    upsert = f"there is no model package group {settings.registry.group}; create it: python -m pipeline upsert"
    with error_if_missing(upsert):
        return [
            Summary(
                arn=package["ModelPackageArn"],
                version=package["ModelPackageVersion"],
                status=package.get("ModelApprovalStatus", ""),
                package_status=package["ModelPackageStatus"],
                created=package["CreationTime"],
            )
            for package in packages
        ]


def _describe(sagemaker: Any, s3: Any, arn: str) -> Version:
    package = sagemaker.describe_model_package(ModelPackageName=arn)
    if "ModelPackageVersion" not in package:
        raise PipelineError(f"{arn} is no version of a group; see the versions: python -m pipeline models")
    properties = package.get("CustomerMetadataProperties", {})
    uri = package.get("ModelMetrics", {}).get("ModelQuality", {}).get("Statistics", {}).get("S3Uri", "")
    return Version(
        arn=arn,
        version=package["ModelPackageVersion"],
        status=package.get("ModelApprovalStatus", ""),
        package_status=package["ModelPackageStatus"],
        created=package["CreationTime"],
        comment=package.get("ApprovalDescription", ""),
        evaluation_uri=uri,
        run=name_of(properties.get("pipeline_execution_arn", "")),
        evaluation=evaluations.read(s3, uri, properties.get(EVALUATION_SHA256, "")),
    )
