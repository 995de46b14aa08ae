"""The registered version that is the same as this model, which is then not registered a second time.

With a cached TuneModel step a later run has the same best trial, and so the same artifact. Where the data, the
evaluation image and the serving image are the same too, a second version would contain nothing new to approve.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from steps.contracts.evaluation import Registration
from steps.evaluate.artifact import ARCHIVE
from steps.evaluate.settings import Settings
from steps.evaluate.trials import sagemaker_client

# Largest page of ListModelPackages.
PAGE = 100
# Packages that never became a version, or are being deleted.
_UNUSABLE = ("Failed", "Deleting")


@dataclass(frozen=True)
class Version:
    """A version of the group; `status` is its approval status."""

    number: int
    arn: str
    status: str


@dataclass(frozen=True)
class Identity:
    """The facts that are equal in two versions of the same model.

    `artifact` is the model's URI, the rest are customer metadata of a version, which RegisterModel writes. The largest
    quantity is not among them: it determines the labels, and so the data's hash.
    """

    artifact: str
    dataset_sha256: str
    decision: str
    evaluation_image: str
    serving_image: str

    def matches(self, package: dict[str, Any]) -> bool:
        """Whether a package, as DescribeModelPackage returns it, has these facts; a missing fact is never equal."""
        containers = package.get("InferenceSpecification", {}).get("Containers", [])
        artifact = containers[0].get("ModelDataUrl", "") if containers else ""
        recorded = package.get("CustomerMetadataProperties", {})
        own = {name: value for name, value in vars(self).items() if name != "artifact"}
        return same_artifact(artifact, self.artifact) and all(
            value != "" and recorded.get(name) == value for name, value in own.items()
        )


def same_artifact(first: str, second: str) -> bool:
    """Whether two URIs name the same model artifact. Either may end with the archive's name or not."""
    first, second = (uri.removesuffix(f"/{ARCHIVE}").rstrip("/") for uri in (first, second))
    return first != "" and first == second


def registration(settings: Settings, identity: Identity, trained: datetime | None) -> Registration:
    """Whether to register; `trained` is the end of the model's training job, None where it is unknown.

    Raises StepError when the registry cannot be read: otherwise the model could be registered twice.
    """
    if not settings.group:
        return _new("no model package group was given")
    same = find(settings.group, identity, trained)
    if same is None:
        return _new(f"no version of {settings.group} has the same model, data, evaluation code and serving code")
    reason = f"version {same.number} ({same.status}) is this model already"
    if settings.register_again == "yes":
        reason += ", and another was asked for"
    elif settings.approval == "Approved" and same.status != "Approved":
        reason += f"; to have it Approved, as this run asks, approve version {same.number}"
    return Registration(
        wanted=1 if settings.register_again == "yes" else 0,
        version=same.number,
        package_arn=same.arn,
        status=same.status,
        reason=reason,
    )


def _new(reason: str) -> Registration:
    return Registration(wanted=1, version=None, package_arn="", status="", reason=reason)


def find(group: str, identity: Identity, trained: datetime | None) -> Version | None:
    """The newest version of the group with this identity and any approval status; None where none exists.

    Only versions that were created after `trained` are described: no version of this model is older. Raises StepError
    when the registry cannot be read.
    """
    problem = f"the model package group {group} cannot be read for a version of this model"
    with sagemaker_client(problem, "ListModelPackages", "DescribeModelPackage") as sagemaker:
        for arn in _newest_first(sagemaker, group, trained):
            package = _describe(sagemaker, arn)
            if package is not None and identity.matches(package):
                status = package.get("ModelApprovalStatus", "without an approval status")
                return Version(int(package["ModelPackageVersion"]), package["ModelPackageArn"], status)
    return None


def _newest_first(sagemaker: Any, group: str, trained: datetime | None) -> Iterator[str]:
    since = {"CreationTimeAfter": trained} if trained else {}
    pages = sagemaker.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=group,
        SortBy="CreationTime",
        SortOrder="Descending",
        PaginationConfig={"PageSize": PAGE},
        **since,
    )
    for page in pages:
        for summary in page["ModelPackageSummaryList"]:
            if summary["ModelPackageStatus"] not in _UNUSABLE:
                yield summary["ModelPackageArn"]


def _describe(sagemaker: Any, arn: str) -> dict[str, Any] | None:
    """The package; None if it was deleted after it was listed."""
    from botocore.exceptions import ClientError

    try:
        package: dict[str, Any] = sagemaker.describe_model_package(ModelPackageName=arn)
    except ClientError as error:
        # SageMaker has no error code for this: it is a ValidationException "ModelPackage ARN does not exist."
        if "does not exist" in error.response["Error"].get("Message", ""):
            return None
        raise
    return package
