"""The environment of the function: its settings, and the AWS clients of its account."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

# Seconds that an endpoint has for an answer. A serverless endpoint starts first, within SageMaker's 60 seconds:
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
ANSWER_SECONDS, COLD_SECONDS = 8, 65


class DeployError(Exception):
    """The event or the environment is wrong, or the endpoint is busy; the message states what to do."""


@dataclass(frozen=True)
class Clients:
    """One client per service."""

    sagemaker: Any
    runtime: Any
    s3: Any
    scaling: Any
    cloudwatch: Any
    events: Any

    @classmethod
    def connect(cls, mode: str) -> Clients:
        """Clients of the function's own account and region, for an endpoint of the mode."""
        import boto3
        from botocore.config import Config

        # A model that hangs must leave the function time to roll back; a second attempt would hang as long.
        seconds = COLD_SECONDS if mode == "serverless" else ANSWER_SECONDS
        config = Config(connect_timeout=ANSWER_SECONDS, read_timeout=seconds, retries={"total_max_attempts": 1})
        runtime = boto3.client("sagemaker-runtime", config=config)
        names = ("s3", "application-autoscaling", "cloudwatch", "events")
        return cls(boto3.client("sagemaker"), runtime, *(boto3.client(name) for name in names))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where, on what and how carefully a version is deployed. Each field is an environment variable in capitals.

    `pipeline.account.deploy_function` writes all of them. Times are in seconds; lists are separated by commas.
    """

    endpoint_name: str
    model_package_group: str
    serving_role_arn: str
    mode: str
    """`real-time`; or `serverless`: cheap, but SageMaker refuses canary, alarms, capture and scaling for it."""
    instance_type: str
    instance_count: int
    maximum_instance_count: int
    """If greater than `instance_count`, the endpoint scales between the two."""
    invocations_per_instance: int
    """Target of scaling: requests per minute and instance."""
    serverless_memory_megabytes: int
    serverless_concurrency: int
    canary_percent: int
    """Share of the instances, and so of the traffic; a fleet of one instance has no canary."""
    canary_seconds: int
    baking_seconds: int
    """How long the old fleet is kept after all traffic has moved, so that an alarm can move it back."""
    alarms: tuple[str, ...]
    """Names of CloudWatch alarms; each rolls a deployment back."""
    released_uri: str
    """Prefix of the copies that the endpoint serves (`steps.deploy.release`)."""
    capture_uri: str
    capture_percent: int
    kms_key: str
    subnets: tuple[str, ...]
    """Subnets of the VPC that real-time endpoints run in; none: AWS's own network."""
    security_groups: tuple[str, ...]

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read the environment. Raises DeployError that names the variable which is missing or wrong."""
        names = {field.name.upper(): field for field in fields(cls)}
        missing = [name for name in names if not environ.get(name) and (name in _NOT_EMPTY or name not in environ)]
        if missing:
            raise DeployError(f"the function's environment lacks {', '.join(missing)}; run bootstrap again")
        values = {field.name: _parse(name, environ[name], str(field.type)) for name, field in names.items()}
        settings = cls(**values)
        if settings.mode not in ("real-time", "serverless"):
            raise DeployError(f"MODE is {settings.mode!r}; use real-time or serverless")
        if bool(settings.subnets) != bool(settings.security_groups):
            raise DeployError("SUBNETS and SECURITY_GROUPS go together; one of them is empty")
        return settings

    @property
    def scales(self) -> bool:
        """Whether the number of instances follows the traffic."""
        return self.mode == "real-time" and self.maximum_instance_count > self.instance_count


_NOT_EMPTY = ("ENDPOINT_NAME", "MODEL_PACKAGE_GROUP", "SERVING_ROLE_ARN", "INSTANCE_TYPE", "RELEASED_URI")


def _parse(name: str, text: str, kind: str) -> Any:
    if kind == "int":
        if not text.isdigit():
            raise DeployError(f"{name} is {text!r}; use a whole number")
        return int(text)
    if kind.startswith("tuple"):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text
