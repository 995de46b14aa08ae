"""Going back to an earlier version: the registry says so first, then the deploy function does it."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.operations.models import registry
from pipeline.operations.serving import deployment
from pipeline.operations.serving.endpoint import describe
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError


@dataclass(frozen=True)
class Rollback:
    """What was done: the version that is gone back to, those that were rejected for it, and the function's answer."""

    version: int
    arn: str
    rejected: tuple[int, ...]
    decision: str
    reason: str


def target(settings: Settings, to: str = "") -> registry.Version:
    """The version to go back to: `to`, or else the latest approved one before that which serves.

    Raises PipelineError where there is none, or it was never approved.
    """
    if to:
        chosen = registry.resolve(settings, to)
        if chosen.status != "Approved":
            raise PipelineError(f"{chosen.name} is {chosen.status}; only an approved version can be gone back to")
        return chosen
    serving = describe(settings)
    for number in registry.approved(settings):
        if serving.version is not None and number < serving.version:
            return registry.resolve(settings, str(number))
    raise PipelineError(f"no version before {serving.version or serving.config} is approved; nothing to go back to")


def roll_back(settings: Settings, to: registry.Version, comment: str = "") -> Rollback:
    """Reject every approved version after `to`, so that none is deployed again, and bring `to` back at once.

    Raises PipelineError with the deploy function's own words when it cannot do so now.
    """
    later = tuple(number for number in registry.approved(settings) if number > to.version)
    for number in later:
        registry.decide(settings, str(number), "Rejected", comment or f"rolled back to version {to.version}")
    try:
        done = deployment.deploy(settings, to, at_once=True)
    except PipelineError as error:
        said = f"; rejected already: {', '.join(map(str, later))}" if later else ""
        raise PipelineError(f"{error}{said}; then run this command again") from error
    return Rollback(to.version, to.arn, later, done.decision, done.reason)
