"""What a step's job, the deploy function or the endpoint wrote to CloudWatch Logs.

Groups: https://docs.aws.amazon.com/sagemaker/latest/dg/logging-cloudwatch.html
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.aws.responses import error_if_missing
from pipeline.clients import client
from pipeline.operations.runs.progress import Progress, StepRun, Trial
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

ENDPOINT = "endpoint"
DEPLOY = "deploy"


@dataclass(frozen=True)
class Source:
    """Where something writes: a log group and the prefix of its streams there (one stream an instance)."""

    group: str
    prefix: str
    title: str


@dataclass(frozen=True)
class Line:
    """One log event."""

    time: datetime
    stream: str
    message: str


def endpoint_source(settings: Settings) -> Source:
    """The endpoint's containers."""
    name = settings.endpoint.name
    return Source(f"/aws/sagemaker/Endpoints/{name}", "", f"endpoint {name}")


def deploy_source(settings: Settings) -> Source:
    """The function that deploys an approved model."""
    return Source(f"/aws/lambda/{settings.deploy_function}", "", f"function {settings.deploy_function}")


def step_source(progress: Progress, name: str, trial: int | None = None) -> Source:
    """Where the step `name` of a run writes; letters' case does not matter.

    Of a tuning step it is one training job: number `trial` from 1 in the order they were made, else the one that
    failed, else the newest. Raises PipelineError where the step does not exist, has not started or writes no log.
    """
    step = _find(progress, name)
    if step.cached:
        run = step.cached_from.rsplit("/", 1)[-1]
        raise PipelineError(
            f"{step.name} took the result of an earlier run and wrote no log;"
            f" see: python -m pipeline logs {step.name} --run {run}"
        )
    if arn := step.arn("ProcessingJob"):
        return _job("/aws/sagemaker/ProcessingJobs", arn)
    if arn := step.arn("TrainingJob"):
        return _job("/aws/sagemaker/TrainingJobs", arn)
    if arn := step.arn("Lambda"):
        return Source(f"/aws/lambda/{arn.split(':function:')[-1].split(':')[0]}", "", f"{step.name}'s function")
    if step.arn("TuningJob"):
        chosen = _choose(progress.trials, trial)
        return Source("/aws/sagemaker/TrainingJobs", f"{chosen.name}/", f"{step.name}, training job {chosen.name}")
    if step.status == "Waiting":
        raise PipelineError(f"{step.name} has not started yet")
    said = f"; it says: {step.failure}" if step.failure else ""
    raise PipelineError(f"{step.name} runs no job and writes no log{said}")


def _find(progress: Progress, name: str) -> StepRun:
    for step in progress.steps:
        if step.name.lower() == name.lower():
            return step
    known = ", ".join(step.name for step in progress.steps)
    raise PipelineError(f"the run {progress.execution.id} has no step {name}; it has: {known}; or {DEPLOY}, {ENDPOINT}")


def _job(group: str, arn: str) -> Source:
    name = arn.rsplit("/", 1)[-1]
    return Source(group, f"{name}/", f"job {name}")


def _choose(trials: tuple[Trial, ...], number: int | None) -> Trial:
    if not trials:
        raise PipelineError("the tuning job has started no training job yet")
    if number is None:
        return next((trial for trial in trials if trial.status == "Failed"), trials[-1])
    if not 1 <= number <= len(trials):
        raise PipelineError(f"there is no trial {number}; the tuning job has trials 1 to {len(trials)}")
    return trials[number - 1]


def read(settings: Settings, source: Source) -> Iterator[Line]:
    """All that the source wrote, oldest first. Raises PipelineError where it wrote nothing yet."""
    events = client(settings, "logs")
    empty = True
    for event in _events(events, source, 0):
        empty = False
        yield _line(event)
    if empty:
        raise PipelineError(f"{source.title} has written nothing to {source.group} yet")


def matching(settings: Settings, source: Source, pattern: str, since: datetime) -> Iterator[Line]:
    """What the source wrote since then that holds the filter pattern's words, oldest first.

    Raises botocore's ClientError where it never wrote anything.
    """
    pages = (
        client(settings, "logs")
        .get_paginator("filter_log_events")
        .paginate(logGroupName=source.group, filterPattern=pattern, startTime=int(since.timestamp() * 1000))
    )
    for page in pages:
        yield from map(_line, page["events"])


def follow(
    settings: Settings,
    source: Source,
    ended: Callable[[], bool],
    *,
    interval: float = 2.0,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Line]:
    """What the source wrote and goes on to write, until `ended()` and nothing is left; `interval` in seconds."""
    events = client(settings, "logs")
    seen: set[str] = set()
    since = 0
    while True:
        # Asked before reading: what was written before the end is still to come.
        last = ended()
        try:
            for event in _events(events, source, since):
                # A later look begins at the newest time seen, so that its events come again.
                if event["eventId"] not in seen:
                    seen.add(event["eventId"])
                    since = max(since, event["timestamp"])
                    yield _line(event)
        except PipelineError:
            if last:
                raise
        if last:
            return
        sleep(interval)


def _events(events: Any, source: Source, since: int) -> Iterator[dict[str, Any]]:
    request: dict[str, Any] = {"logGroupName": source.group}
    if source.prefix:
        request["logStreamNamePrefix"] = source.prefix
    if since:
        request["startTime"] = since
    with error_if_missing(f"{source.title} has written nothing yet (no log group {source.group})"):
        for page in events.get_paginator("filter_log_events").paginate(**request):
            yield from page["events"]


def _line(event: dict[str, Any]) -> Line:
    return Line(
        time=datetime.fromtimestamp(event["timestamp"] / 1000, UTC),
        stream=event["logStreamName"],
        message=event["message"].rstrip("\n"),
    )
