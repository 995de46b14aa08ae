"""The events of the function: a version to deploy (pipeline's Lambda step, approval), or a change of the endpoint."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from steps.deploy.settings import DeployError

_ARN = re.compile(
    r"(?P<prefix>arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:[0-9]{12}:model-package)/(?P<group>[A-Za-z0-9-]+)"
    r"/(?P<version>[0-9]+)"
)


@dataclass(frozen=True)
class Version:
    """A version of a model package group."""

    arn: str
    group: str
    number: int

    @classmethod
    def of(cls, arn: object) -> Version:
        """Read a package version's ARN."""
        match = _ARN.fullmatch(arn) if isinstance(arn, str) else None
        if match is None:
            raise DeployError(f"{arn!r} is not the ARN of a model package version")
        return cls(match[0], match["group"], int(match["version"]))

    @property
    def group_arn(self) -> str:
        """ARN of the group."""
        return f"{self.arn.partition(':model-package/')[0]}:model-package-group/{self.group}"


@dataclass(frozen=True)
class DeployRequest:
    """A version to deploy, if the registry allows it."""

    version: Version
    approved_at: str = ""
    """Time of the approval's event, ISO 8601 in UTC; empty for an event without an approval."""
    at_once: bool = False
    """A person moves the endpoint back to this version: without a canary, and alarms do not stop it."""
    restores: bool = False
    """The version served on an endpoint that has failed; a later one that is approved was rolled back from it."""


@dataclass(frozen=True)
class RollbackRequest:
    """An earlier version to return to, with the comment for the versions that are rejected for it."""

    version: Version
    comment: str = ""


@dataclass(frozen=True)
class EndpointChange:
    """An endpoint has reached a status, in the spelling of events: IN_SERVICE, FAILED, UPDATING..."""

    endpoint_name: str
    status: str


def read_endpoint_change(event: Any) -> EndpointChange | None:
    """The endpoint and status in EventBridge's `SageMaker Endpoint State Change`; None for another event."""
    if not isinstance(event, dict) or event.get("detail-type") != "SageMaker Endpoint State Change":
        return None
    match event.get("detail"):
        case {"EndpointName": str(name), "EndpointStatus": str(status)}:
            return EndpointChange(name, status)
    raise DeployError("the event of an endpoint lacks detail.EndpointName or detail.EndpointStatus")


def read_request(event: Any) -> DeployRequest:
    """The request in `{"model_package_arn": ARN}` or in an event with `detail.ModelPackageArn`.

    Never one at once: the pipeline's role may invoke this function, and only approvers may roll back.
    """
    if isinstance(event, dict):
        if "model_package_arn" in event:
            return DeployRequest(Version.of(event["model_package_arn"]))
        detail = event.get("detail")
        if isinstance(detail, dict) and "ModelPackageArn" in detail:
            return DeployRequest(Version.of(detail["ModelPackageArn"]), approved_at=str(event.get("time", "")))
    raise DeployError("the event names no version: it lacks model_package_arn, or detail.ModelPackageArn")


def read_rollback(event: Any) -> RollbackRequest:
    """The request in `{"model_package_arn": ARN, "comment": TEXT}`."""
    if not isinstance(event, dict) or "model_package_arn" not in event:
        raise DeployError("the event names no version: it lacks model_package_arn")
    return RollbackRequest(Version.of(event["model_package_arn"]), str(event.get("comment", "")))
