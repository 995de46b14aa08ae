"""The message about an event: one line with what happened, why, and the command to look. None for an event without.

Events of AWS: https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html. They name no
step and no reason, which are read from the run; that of a drift is in the monitor's report.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from steps.alert.settings import AlertError, Clients, Settings
from steps.contracts import names

# "Subjects must be UTF-8 text with no line breaks or control characters, and less than 100 characters long":
# https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
SUBJECT_CHARACTERS, REASON_CHARACTERS = 99, 600
# The end of an execution's ARN, as DescribePipelineExecution's model has it.
_RUN_ID = re.compile(r"[a-z0-9]{12}")
_JOB_NAME = re.compile(r"[A-Za-z0-9-]{1,63}")
_UNKNOWN = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Message:
    """What is published, and what it is about."""

    subject: str
    text: str
    about: tuple[str, ...]
    """What makes another event about the same thing equal: EventBridge and SageMaker may send several."""


def message(aws: Clients, settings: Settings, event: Any) -> Message | None:
    """The message about an event; None where nobody has to know. Raises AlertError for an event of another kind."""
    kind, detail = (event.get("detail-type"), event.get("detail")) if isinstance(event, dict) else (None, None)
    if kind not in _KINDS or not isinstance(detail, dict):
        raise AlertError(f"an event of the kind {kind!r} is not one of this function's rules, or has no detail")
    try:
        return _KINDS[kind](aws, settings, detail)
    except KeyError as error:
        raise AlertError(f"the event {kind!r}, or what it is about, lacks {error.args[0]}") from error


def one_line(text: str, most: int = REASON_CHARACTERS) -> str:
    """Text without line breaks and control characters, cut off where it is too long."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= most else f"{line[: most - 3].rstrip()}..."


def _message(settings: Settings, title: str, text: str, command: str, about: tuple[str, ...]) -> Message:
    subject = one_line(f"{settings.pipeline}: {title}", SUBJECT_CHARACTERS)
    sentence = one_line(text).rstrip(".")
    return Message(subject, f"{sentence}. {names.LOOK} {settings.command} {command}", about)


# ------------------------------------------------------------------------------------------------------------ runs


def _failed_run(aws: Clients, settings: Settings, detail: Mapping[str, Any]) -> Message | None:
    arn, pipeline = detail["pipelineExecutionArn"], detail["pipelineArn"]
    if pipeline.lower() != settings.pipeline_arn.lower() or detail["currentPipelineExecutionStatus"] != "Failed":
        return None
    run = arn.rsplit("/", 1)[-1]
    if not _RUN_ID.fullmatch(run):
        raise AlertError(f"{arn} is not the ARN of a pipeline execution")
    # A run that is retried may fail again.
    about = ("run", arn, str(detail.get("executionEndTime", "")))
    title = _titled(run, str(detail.get("pipelineExecutionDisplayName", "")))
    step, others = _first_failed(aws, arn)
    if step is None:
        described = aws.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        reason = described.get("FailureReason", "no reason given")
        return _message(settings, f"run {run} failed", f"Run {title} failed: {reason}", f"watch {run}", about)
    name = step["StepName"]
    # A Fail step's own message: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_FailStepMetadata.html
    reason = step.get("Metadata", {}).get("Fail", {}).get("ErrorMessage") or step.get("FailureReason", "")
    if name == names.GATE_FAILED:
        subject, text = f"the quality gate refused the model of run {run}", "The quality gate refused the model of run"
        return _message(settings, subject, f"{text} {title}: {reason}", f"report {run}", about)
    more = f" (and {', '.join(others)})" if others else ""
    text = f"Run {title} failed at step {name}{more}: {reason or 'no reason given'}"
    return _message(settings, f"run {run} failed at {name}", text, f"watch {run}", about)


def _titled(run: str, name: str) -> str:
    """The run's id, with the name that a person gave it: SageMaker's own begins with `execution-`."""
    return run if not name or name.startswith("execution-") else f"{one_line(name, 80)} ({run})"


def _first_failed(aws: Clients, arn: str) -> tuple[dict[str, Any] | None, list[str]]:
    """The step that failed first, and the names of the others that failed."""
    pages = aws.sagemaker.get_paginator("list_pipeline_execution_steps").paginate(PipelineExecutionArn=arn)
    failed = [step for page in pages for step in page["PipelineExecutionSteps"] if step["StepStatus"] == "Failed"]
    # SageMaker's model requires neither time; a step without is no reason to send nothing.
    failed.sort(key=lambda step: step.get("EndTime") or step.get("StartTime") or _UNKNOWN)
    return (failed[0], [step["StepName"] for step in failed[1:]]) if failed else (None, [])


# ----------------------------------------------------------------------------------------------------- deployments


def _deployment(_aws: Clients, settings: Settings, detail: Mapping[str, Any]) -> Message | None:
    endpoint, decision, number = detail["endpoint_name"], detail["decision"], detail["model_package_version"]
    if endpoint != settings.endpoint_name:
        return None
    # A decision that this code does not have has its own word.
    title, text = {
        "rolling-back": (f"version {number} is rolled back", f"Endpoint {endpoint} returns to the version before"),
        "rolled-back": (f"version {number} is rolled back", f"Endpoint {endpoint} is back at the version before"),
        "cleaned-up": (
            f"version {number} is not deployed",
            f"Endpoint {endpoint} is deleted, no version has served on it",
        ),
        "rejected": (f"version {number} is rejected", f"What version {number} registered has changed since"),
        "refused": (f"version {number} is not deployed", f"Approved version {number} cannot be deployed to {endpoint}"),
    }.get(decision, (f"version {number}: {decision}", f"Endpoint {endpoint}, {decision}"))
    about = ("deployment", endpoint, decision, number, detail["alert"])
    return _message(settings, title, f"{text}: {detail['reason']}", "endpoint", about)


# ----------------------------------------------------------------------------------------------------------- drift


def _monitor(aws: Clients, settings: Settings, detail: Mapping[str, Any]) -> Message | None:
    job, status = detail["ProcessingJobName"], detail["ProcessingJobStatus"]
    prefix = f"{settings.root_uri}/monitor/"
    places = [output["S3Output"]["S3Uri"] for output in detail.get("ProcessingOutputConfig", {}).get("Outputs", [])]
    if status not in ("Completed", "Failed") or len(places) != 1 or not places[0].startswith(prefix):
        return None  # a job of another pipeline whose name begins as this one's, or no monitor
    if not _JOB_NAME.fullmatch(job):
        raise AlertError(f"{job!r} is not the name of a processing job")
    about, look = ("monitor", job, status), f"monitor --job {job}"
    if status == "Failed":
        reason = detail.get("FailureReason", "no reason given")
        text = f"The monitor of endpoint {settings.endpoint_name} failed, job {job}: {reason}"
        return _message(settings, "the monitor failed", text, look, about)
    drift = _drift(aws, f"{places[0]}/{names.DRIFT_FILE}")
    if drift["verdict"] != "drift":
        return None
    drifted = [feature for feature in drift["features"] if feature["drifted"]]
    features = ", ".join(f"{feature['name']} (PSI {feature['psi']:.2f})" for feature in drifted)
    text = (
        f"Drift of {features} at endpoint {drift['endpoint']}, version {drift['model_version']}, from {drift['since']}"
        f" to {drift['until']}; photos compared: {drift['compared']:,} of {drift['photos']:,}"
    )
    # The alarm on the accuracy has a message of its own; results of earlier monitors have no true counts.
    truth = drift.get("truth") or {}
    if truth.get("accuracy") is not None:
        text += f"; accuracy by {truth['photos']:,} true counts: {truth['accuracy']:.1%}"
    return _message(settings, f"drift of {', '.join(feature['name'] for feature in drifted)}", text, look, about)


def _drift(aws: Clients, uri: str) -> dict[str, Any]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    content: dict[str, Any] = json.loads(aws.s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    return content


_KINDS: dict[str, Callable[[Clients, Settings, Mapping[str, Any]], Message | None]] = {
    "SageMaker Model Building Pipeline Execution Status Change": _failed_run,
    "SageMaker Processing Job State Change": _monitor,
    names.DEPLOYMENT_EVENT: _deployment,
}
