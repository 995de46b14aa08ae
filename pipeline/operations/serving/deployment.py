"""Deploying a version again, and rolling back to an earlier one, with the account's two functions."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pipeline.aws.responses import CREATE_IT, error_if_missing
from pipeline.clients import patient_client
from pipeline.operations.models import registry
from pipeline.operations.serving.endpoint import describe
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

# A little more than the functions' own limit in the template.
FUNCTION_SECONDS = 310


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


def deploy(settings: Settings, version: registry.Version) -> Deployment:
    """Ask the deploy function to deploy `version`, without waiting.

    Raises PipelineError with the function's message where it cannot deploy now.
    """
    answer = _invoke(settings, settings.deploy_function, {"model_package_arn": version.arn})
    return Deployment(version.version, version.arn, answer["decision"], answer["reason"])


def _invoke(settings: Settings, function: str, event: dict[str, str]) -> dict[str, str]:
    """A function's answer. Raises PipelineError with its message where it fails.

    The function may read a model of gigabytes, for longer than botocore waits by default; a second attempt would
    invoke it twice.
    """
    client = patient_client(settings, "lambda", FUNCTION_SECONDS)
    with error_if_missing(f"there is no function {function}; {CREATE_IT}"):
        response = client.invoke(FunctionName=function, Payload=json.dumps(event).encode())
    answer: dict[str, str] = json.loads(response["Payload"].read())
    if "FunctionError" in response:
        raise PipelineError(str(answer.get("errorMessage", answer)))
    return answer


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
    """Let the rollback function reject every approved version after `to`, and deploy `to` at once.

    Raises PipelineError with the function's message where it cannot deploy now.
    """
    later = tuple(number for number in registry.approved(settings) if number > to.version)
    try:
        event = {"model_package_arn": to.arn, "comment": comment}
        answer = _invoke(settings, settings.rollback_function, event)
    except PipelineError as error:
        rejected = [str(number) for number in later if number not in registry.approved(settings)]
        already = f"; rejected already: {', '.join(rejected)}" if rejected else ""
        raise PipelineError(f"{error}{already}; then run this command again") from error
    return Rollback(to.version, to.arn, later, answer["decision"], answer["reason"])
