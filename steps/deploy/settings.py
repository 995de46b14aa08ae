"""What the function is told by its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any


class DeployError(Exception):
    """The event or the environment is wrong, or the endpoint is busy; the message says what to do."""


@dataclass(frozen=True)
class Settings:
    """Where a version is deployed to, on what, and how carefully. Each field is an environment variable in capitals."""

    endpoint_name: str
    model_package_group: str
    serving_role_arn: str
    mode: str = "real-time"
    """`real-time`, or `serverless`: cheap, without canary, alarms, capture and scaling, which the service refuses."""
    instance_type: str = "ml.c5.xlarge"
    instance_count: int = 1
    maximum_instance_count: int = 1
    """More than `instance_count`: the endpoint scales between the two."""
    invocations_per_instance: int = 600
    """Requests a minute and instance that scaling aims at."""
    serverless_memory_megabytes: int = 3072
    serverless_concurrency: int = 5
    canary_percent: int = 10
    """Of the instances, and so of the traffic; a fleet of one instance has no canary."""
    canary_seconds: int = 300
    baking_seconds: int = 300
    """How long the old fleet is kept after all traffic has moved; an alarm brings it back until then."""
    alarms: tuple[str, ...] = ()
    """Names of CloudWatch alarms, separated by commas; each rolls a deployment back."""
    capture_uri: str = ""
    capture_percent: int = 0
    kms_key: str = ""
    subnets: tuple[str, ...] = ()
    """Of the VPC that real-time endpoints run in, separated by commas; none: AWS's own."""
    security_groups: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read the environment. Raises DeployError that names what is missing or no number."""
        names = {field.name.upper(): field for field in fields(cls)}
        wanted = [name for name, field in names.items() if field.default is MISSING]
        if missing := [name for name in wanted if not environ.get(name)]:
            raise DeployError(f"the function's environment lacks {', '.join(missing)}")
        values: dict[str, Any] = {}
        for name, field in names.items():
            if text := environ.get(name):
                values[field.name] = _parsed(name, text, str(field.type))
        settings = cls(**values)
        if settings.mode not in ("real-time", "serverless"):
            raise DeployError(f"MODE is {settings.mode!r}; want real-time or serverless")
        if bool(settings.subnets) != bool(settings.security_groups):
            raise DeployError("SUBNETS and SECURITY_GROUPS go together; one of them is empty")
        return settings

    @property
    def scales(self) -> bool:
        """Whether the number of instances follows the traffic."""
        return self.mode == "real-time" and self.maximum_instance_count > self.instance_count


def _parsed(name: str, text: str, kind: str) -> Any:
    if kind == "int":
        if not text.isdigit():
            raise DeployError(f"{name} is {text!r}; want a whole number")
        return int(text)
    if kind.startswith("tuple"):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text
