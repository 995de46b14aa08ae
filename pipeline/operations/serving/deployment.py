"""Asking the deploy function, as an approval does, for a version on the endpoint."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pipeline.clients import client
from pipeline.operations.models import registry
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError


@dataclass(frozen=True)
class Deployment:
    """The deploy function's answer about a version: what it does, and why."""

    version: int
    arn: str
    decision: str
    reason: str


def deploy(settings: Settings, version: registry.Version, *, at_once: bool = False) -> Deployment:
    """Have `version` brought to the endpoint; nothing waits for it. `at_once`: no canary, and no alarm stops it.

    Raises PipelineError with the function's own words where it cannot do so now.
    """
    payload = json.dumps({"model_package_arn": version.arn, "at_once": at_once}).encode()
    response = client(settings, "lambda").invoke(FunctionName=settings.deploy_function, Payload=payload)
    answer = json.loads(response["Payload"].read())
    if "FunctionError" in response:
        raise PipelineError(str(answer.get("errorMessage", answer)))
    return Deployment(version.version, version.arn, answer["decision"], answer["reason"])


def latest(settings: Settings) -> registry.Version:
    """The latest approved version. Raises PipelineError where none is approved."""
    for number in registry.approved(settings):
        return registry.resolve(settings, str(number))
    raise PipelineError(
        f"no version of {settings.registry.group} is approved; approve one: python -m pipeline approve latest"
    )
