"""Which package version an event is about: the pipeline's Lambda step, or EventBridge's word of an approval."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from steps.deploy.settings import DeployError

_ARN = re.compile(
    r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:[0-9]{12}:model-package/(?P<group>[A-Za-z0-9-]+)/(?P<version>[0-9]+)"
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


def version_of(event: Any) -> Version:
    """The version of `{"model_package_arn": ARN}` or of an event with `detail.ModelPackageArn`."""
    if isinstance(event, dict):
        if "model_package_arn" in event:
            return Version.of(event["model_package_arn"])
        detail = event.get("detail")
        if isinstance(detail, dict) and "ModelPackageArn" in detail:
            return Version.of(detail["ModelPackageArn"])
    raise DeployError("the event names no version: want model_package_arn, or detail.ModelPackageArn")
