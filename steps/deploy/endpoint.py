"""The endpoint as SageMaker describes it, with the function's tags on it (`steps.contracts.names`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from steps.contracts.names import (
    ACCEPTED,
    CONFIG_TAG,
    ENDPOINT_TAGS,
    EVALUATED_CONFIG_TAG,
    PENDING,
    PREVIOUS_CONFIG_TAG,
    STATE_TAGS,
    VERDICT_TAG,
    VERSION_TAG,
)

# Names of endpoint configurations (`requests.endpoint_config`).
_VERSION = re.compile(r".*-v(?P<number>[0-9]+)-[0-9a-f]{8}")
BUSY = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
_NOT_FOR_TAGS = re.compile(r"[^A-Za-z0-9 _.:/=+@-]")
_RESERVED = ("aws:", "sagemaker:")
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_AddTags.html: at most 50 tags per resource.
_MOST_TAGS = 50 - len(ENDPOINT_TAGS)


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
    """Desired number of instances; 0 where SageMaker names none."""
    tags: Mapping[str, str]

    @property
    def is_busy(self) -> bool:
        """Whether SageMaker refuses a change."""
        return self.status in BUSY

    @property
    def served(self) -> int | None:
        """The version that served last: the accepted one, or else the one before the last attempt. None without one."""
        tag = CONFIG_TAG if self.verdict == ACCEPTED else PREVIOUS_CONFIG_TAG
        match = _VERSION.fullmatch(self.tags.get(tag, ""))
        return int(match["number"]) if match else None

    @property
    def verdict(self) -> str:
        """The verdict on the version of the last attempt; empty without an attempt of this function.

        A verdict counts only for the configuration that it is about: a late one, which arrives when the next version is
        being deployed, must not count for that version.
        """
        if VERSION_TAG not in self.tags:
            return ""
        is_evaluated = self.tags.get(EVALUATED_CONFIG_TAG) == self.tags.get(CONFIG_TAG)
        return self.tags.get(VERDICT_TAG, PENDING) if is_evaluated else PENDING


def describe(sagemaker: Any, name: str) -> Endpoint | None:
    """The endpoint; None where it does not exist.

    Its state is read after its tags: an update that begins between the two reads shows as an update, and never as an
    endpoint that has left the configuration of its tags.
    """
    described = _describe(sagemaker, name)
    if described is None:
        return None
    tags = tags_of(sagemaker, described["EndpointArn"])
    described = _describe(sagemaker, name)
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


def _describe(sagemaker: Any, name: str) -> dict[str, Any] | None:
    from botocore.exceptions import ClientError

    try:
        answer: dict[str, Any] = sagemaker.describe_endpoint(EndpointName=name)
    except ClientError as error:
        # SageMaker answers ValidationException 'Could not find endpoint ...' for an endpoint that does not exist.
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        if code == "ResourceNotFound" or (code == "ValidationException" and "could not find" in message.lower()):
            return None
        raise
    return answer


def tags_of(sagemaker: Any, arn: str) -> dict[str, str]:
    """A resource's tags."""
    pages = sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
    return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}


def as_tags(values: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags of a request: values of at most 256 characters, with a hyphen for each character that SageMaker refuses."""
    return [{"Key": key, "Value": _NOT_FOR_TAGS.sub("-", value)[:256]} for key, value in values.items()]


def inherited_tags(sagemaker: Any, group_arn: str) -> list[dict[str, str]]:
    """The tags of the model package group for what is created from its versions, without the function's own.

    They come from the group, and not from the environment: Lambda limits that to 4 KB, which 40 tags exceed.
    https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
    """
    own = {
        key: value
        for key, value in tags_of(sagemaker, group_arn).items()
        if key not in STATE_TAGS and not key.lower().startswith(_RESERVED)
    }
    return [{"Key": key, "Value": value} for key, value in sorted(own.items())][:_MOST_TAGS]
