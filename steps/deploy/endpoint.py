"""The endpoint as SageMaker describes it, and what the function notes on it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Tags of the endpoint: the version that was tried last, the configuration it was tried with and the one before it,
# the time of its approval, what came of it, and of which configuration that is said.
VERSION, CONFIG, PREVIOUS = "model-package-version", "endpoint-config", "previous-endpoint-config"
TRIED_AT, VERDICT, REASON, JUDGED = "tried-at", "verdict", "verdict-reason", "judged-config"
# Verdicts. A version that was rolled back is not tried again unless it is approved again.
PENDING, ACCEPTED, ROLLED_BACK = "pending", "accepted", "rolled-back"
# Tag of the package group: the version with which the first deployment failed; its endpoint was deleted. Empty once
# another version has made the endpoint.
NEVER_SERVED = "never-served-version"

BUSY = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
_NOT_FOR_TAGS = re.compile(r"[^A-Za-z0-9 _.:/=+@-]")


@dataclass(frozen=True)
class Endpoint:
    """An endpoint with its tags."""

    name: str
    arn: str
    status: str
    config: str
    pending_config: str
    failure: str
    instances: int
    """As many as serve now; 0 where that is not said."""
    tags: Mapping[str, str]

    @property
    def busy(self) -> bool:
        """Whether it refuses a change."""
        return self.status in BUSY

    @property
    def verdict(self) -> str:
        """What came of the version that was tried last; empty where this function has tried none.

        A verdict counts for the configuration it was given on: one that comes late, when the next version is being
        tried already, must not pass for that one's.
        """
        if VERSION not in self.tags:
            return ""
        judged = self.tags.get(JUDGED) == self.tags.get(CONFIG)
        return self.tags.get(VERDICT, PENDING) if judged else PENDING


def describe(sagemaker: Any, name: str) -> Endpoint | None:
    """The endpoint, or None where there is none.

    Its state is read after its tags: an update that begins between the two reads shows as an update, and never as an
    endpoint that has left the configuration of its tags.
    """
    described = _described(sagemaker, name)
    if described is None:
        return None
    tags = tags_of(sagemaker, described["EndpointArn"])
    described = _described(sagemaker, name)
    if described is None:
        return None
    variants = described.get("ProductionVariants") or [{}]
    return Endpoint(
        name=name,
        arn=described["EndpointArn"],
        status=described["EndpointStatus"],
        config=described["EndpointConfigName"],
        pending_config=described.get("PendingDeploymentSummary", {}).get("EndpointConfigName", ""),
        failure=described.get("FailureReason", ""),
        instances=variants[0].get("DesiredInstanceCount", 0),
        tags=tags,
    )


def _described(sagemaker: Any, name: str) -> dict[str, Any] | None:
    from botocore.exceptions import ClientError

    try:
        answer: dict[str, Any] = sagemaker.describe_endpoint(EndpointName=name)
    except ClientError as error:
        if _says_missing(error):
            return None
        raise
    return answer


def tags_of(sagemaker: Any, arn: str) -> dict[str, str]:
    """A resource's tags."""
    pages = sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
    return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}


def as_tags(values: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags of a request: at most 256 characters, of those that a value may have."""
    return [{"Key": key, "Value": _NOT_FOR_TAGS.sub("-", value)[:256]} for key, value in values.items()]


def _says_missing(error: Any) -> bool:
    """SageMaker answers ValidationException 'Could not find endpoint ...' for an endpoint that is not there."""
    code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
    return code == "ResourceNotFound" or (code == "ValidationException" and "could not find" in message.lower())
