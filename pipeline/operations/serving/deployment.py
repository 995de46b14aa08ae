"""Deploying a version at once, and rolling back to an earlier one, with the deploy function."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pipeline.clients import client
from pipeline.operations.models import registry
from pipeline.operations.serving.endpoint import describe
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError


@dataclass(frozen=True)
class Deployment:
    """The deploy function's answer about a version: its decision and the reason."""

    version: int
    arn: str
    decision: str
    reason: str


@dataclass(frozen=True)
class Rollback:
    """A rollback: the version, the versions that were rejected for it, and the deploy function's answer."""

    version: int
    arn: str
    rejected: tuple[int, ...]
    decision: str
    reason: str


def deploy(settings: Settings, version: registry.Version, *, at_once: bool = False) -> Deployment:
    """Ask the deploy function to deploy `version`, without waiting; `at_once` means without canary and alarms.

    Raises PipelineError with the function's message where it cannot deploy now.
    """
    payload = json.dumps({"model_package_arn": version.arn, "at_once": at_once}).encode()
    response = client(settings, "lambda").invoke(FunctionName=settings.deploy_function, Payload=payload)
    answer = json.loads(response["Payload"].read())
    if "FunctionError" in response:
        raise PipelineError(str(answer.get("errorMessage", answer)))
    return Deployment(version.version, version.arn, answer["decision"], answer["reason"])


def rollback_target(settings: Settings, to: str = "") -> registry.Version:
    """The version of a rollback: `to`, or else the latest approved one before the present one.

    Raises PipelineError where there is none, or it is not approved.
    """
    if to:
        chosen = registry.resolve(settings, to)
        if chosen.status != "Approved":
            raise PipelineError(f"{chosen.name} is {chosen.status}; only an approved version can be rolled back to")
        return chosen
    serving = describe(settings)
    for number in registry.approved(settings):
        if serving.version is not None and number < serving.version:
            return registry.resolve(settings, str(number))
    raise PipelineError(
        f"no version before {serving.version or serving.config} is approved; there is none to roll back to"
    )


def roll_back(settings: Settings, to: registry.Version, comment: str = "") -> Rollback:
    """Reject every approved version after `to`, so that none is deployed again, and deploy `to` at once.

    Raises PipelineError with the deploy function's message where it cannot deploy now.
    """
    later = tuple(number for number in registry.approved(settings) if number > to.version)
    for number in later:
        registry.decide(settings, str(number), "Rejected", comment or f"rolled back to version {to.version}")
    try:
        done = deploy(settings, to, at_once=True)
    except PipelineError as error:
        rejected = f"; rejected already: {', '.join(map(str, later))}" if later else ""
        raise PipelineError(f"{error}{rejected}; then run this command again") from error
    return Rollback(to.version, to.arn, later, done.decision, done.reason)
