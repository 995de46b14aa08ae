"""The logs of a step's job, the endpoint, the deploy function and the alert function in CloudWatch Logs.

Groups: https://docs.aws.amazon.com/sagemaker/latest/dg/logging-cloudwatch.html
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.aws.arns import name_of
from pipeline.aws.pages import existing_items, items
from pipeline.aws.responses import error_if_missing
from pipeline.clients import client
from pipeline.operations.runs.progress import Progress, TrialJob
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

ENDPOINT = "endpoint"
DEPLOY = "deploy"
ALERT = "alert"
# Longest time without a line while following: above the longest silence of a job.
QUIET_SECONDS = 7 * 86_400.0


@dataclass(frozen=True)
class LogSource:
    """A log group and the prefix of the source's streams in it (one stream per instance)."""

    group: str
    prefix: str
    title: str


@dataclass(frozen=True)
class Line:
    """One log event."""

    time: datetime
    stream: str
    message: str


def endpoint_source(settings: Settings) -> LogSource:
    """The endpoint's containers."""
    name = settings.endpoint.name
    return LogSource(f"/aws/sagemaker/Endpoints/{name}", "", f"endpoint {name}")


def deploy_source(settings: Settings) -> LogSource:
    """The function that deploys an approved model."""
    return LogSource(f"/aws/lambda/{settings.deploy_function}", "", f"function {settings.deploy_function}")


def rollback_source(settings: Settings) -> LogSource:
    """The function that goes back to an earlier version."""
    return LogSource(f"/aws/lambda/{settings.rollback_function}", "", f"function {settings.rollback_function}")


def alert_source(settings: Settings) -> LogSource:
    """The function that makes a message of an event."""
    return LogSource(f"/aws/lambda/{settings.alert_function}", "", f"function {settings.alert_function}")


# Logs that belong to no run.
OTHERS: Mapping[str, Callable[[Settings], LogSource]] = {
    DEPLOY: deploy_source,
    ENDPOINT: endpoint_source,
    ALERT: alert_source,
}


def step_source(progress: Progress, name: str, trial: int | None = None) -> LogSource:
    """The log of the step `name` of a run, in any case of letters.

    For a tuning step it is one training job's: number `trial`, from 1 in the order of creation, or else the first that
    failed, or else the newest. Raises PipelineError where the step does not exist, has not started or writes no log.
    """
    step = next((step for step in progress.steps if step.name.lower() == name.lower()), None)
    if step is None:
        names, run = ", ".join(step.name for step in progress.steps), progress.execution.id
        raise PipelineError(f"the run {run} has no step {name}; it has: {names}; or {', '.join(OTHERS)}")
    if step.cached:
        command = f"python -m pipeline logs {step.name} --run {name_of(step.cached_from)}"
        raise PipelineError(f"{step.name} has the result of an earlier run and wrote no log; see: {command}")
    for kind in ("ProcessingJob", "TrainingJob"):
        if arn := step.arn(kind):
            return LogSource(f"/aws/sagemaker/{kind}s", f"{name_of(arn)}/", f"job {name_of(arn)}")
    if arn := step.arn("Lambda"):
        return LogSource(f"/aws/lambda/{arn.split(':function:')[-1].split(':')[0]}", "", f"{step.name}'s function")
    if step.arn("TuningJob"):
        chosen = _choose(progress.trials, trial)
        return LogSource("/aws/sagemaker/TrainingJobs", f"{chosen.name}/", f"{step.name}, training job {chosen.name}")
    if step.status == "Waiting":
        raise PipelineError(f"{step.name} has not started yet")
    failure = f"; it failed: {step.failure}" if step.failure else ""
    raise PipelineError(f"{step.name} runs no job and writes no log{failure}")


def _choose(trials: tuple[TrialJob, ...], number: int | None) -> TrialJob:
    if not trials:
        raise PipelineError("the tuning job has started no training job yet")
    if number is None:
        return next((trial for trial in trials if trial.status == "Failed"), trials[-1])
    if not 1 <= number <= len(trials):
        raise PipelineError(f"there is no trial {number}; the tuning job has trials 1 to {len(trials)}")
    return trials[number - 1]


def read(settings: Settings, source: LogSource) -> Iterator[Line]:
    """All lines of the source, oldest first. Raises PipelineError where there are none yet."""
    lines = map(line_of, _events(client(settings, "logs"), source, 0))
    first = next(lines, None)
    if first is None:
        raise PipelineError(f"{source.title} has written nothing to {source.group} yet")
    yield first
    yield from lines


def matching(settings: Settings, source: LogSource, pattern: str, since: float = 0.0) -> Iterator[Line]:
    """The source's lines since then (Unix time) that match the filter pattern, oldest first; none without a log."""
    paginator = client(settings, "logs").get_paginator("filter_log_events")
    request = _request(source, int(since * 1000))
    return map(line_of, existing_items(paginator, "events", filterPattern=pattern, **request))


def follow(
    settings: Settings, source: LogSource, ended: Callable[[], bool], *, interval: float = 2.0
) -> Iterator[Line]:
    """The source's lines as they are written, until `ended()` and no line is left; `interval` in seconds.

    Raises PipelineError where a job writes no line for QUIET_SECONDS; the endpoint and the functions may be idle.
    """
    events = client(settings, "logs")
    may_be_idle = source in [other(settings) for other in OTHERS.values()]
    seen: set[str] = set()
    since, newest = 0, time.monotonic()
    while True:
        # Asked before reading: lines from before the end may be unread.
        is_last = ended()
        try:
            for event in _events(events, source, since):
                # The next request begins at the newest time, whose events it reads again.
                if event["eventId"] not in seen:
                    seen.add(event["eventId"])
                    since, newest = max(since, event["timestamp"]), time.monotonic()
                    yield line_of(event)
        except PipelineError:
            if is_last:
                raise
        if is_last:
            return
        if time.monotonic() - newest > QUIET_SECONDS and not may_be_idle:
            days = f"{QUIET_SECONDS / 86_400:.0f} days"
            raise PipelineError(f"{source.title} has written nothing for {days}; it may hang")
        time.sleep(interval)


def _events(events: Any, source: LogSource, since: int) -> Iterator[dict[str, Any]]:
    with error_if_missing(f"{source.title} has written nothing yet (no log group {source.group})"):
        yield from items(events.get_paginator("filter_log_events"), "events", **_request(source, since))


def _request(source: LogSource, since: int) -> dict[str, Any]:
    """FilterLogEvents' request; `since` in milliseconds."""
    prefix = {"logStreamNamePrefix": source.prefix} if source.prefix else {}
    return {"logGroupName": source.group, **prefix, **({"startTime": since} if since else {})}


def line_of(event: dict[str, Any]) -> Line:
    """A line, as FilterLogEvents has it."""
    return Line(
        time=datetime.fromtimestamp(event["timestamp"] / 1000, UTC),
        stream=event["logStreamName"],
        message=event["message"].rstrip("\n"),
    )
