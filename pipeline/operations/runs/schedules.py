"""Schedules that start runs: make, list and remove them.

They are EventBridge Scheduler's, in a group with the pipeline's name.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pipeline.aws.responses import error_if_missing, says_missing
from pipeline.aws.timetable import ExpressionError, Timetable, local_moment
from pipeline.clients import client
from pipeline.operations.runs import parameters
from pipeline.operations.runs.executions import definition, pipeline_arn
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

# A run that could not be started is tried again for an hour; the next one comes by its own time.
RETRY_POLICY = {"MaximumRetryAttempts": 5, "MaximumEventAgeInSeconds": 3600}
# https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html
_NAME = re.compile(r"[0-9A-Za-z_.-]{1,64}")


@dataclass(frozen=True)
class Schedule:
    """A schedule of this pipeline. `target` is what it invokes: the pipeline's ARN, or an API's operation."""

    name: str
    group: str
    expression: str
    timezone: str
    state: str
    target: str
    parameters: dict[str, str]
    next_run: datetime | None = None
    """None where it will not fire again, or not while it is disabled."""
    start: datetime | None = None
    end: datetime | None = None
    arn: str = ""

    @property
    def starts(self) -> str:
        """What it starts, in a word: `run`, or the API's operation."""
        return "run" if ":pipeline/" in self.target else self.target.rsplit(":", 1)[-1]


@dataclass(frozen=True)
class Scheduled:
    """A schedule, and what had to be done for it."""

    change: Literal["created", "updated", "unchanged"]
    schedule: Schedule


def default_name(settings: Settings) -> str:
    """The name of the schedule that nobody named."""
    return f"{settings.name}-runs"


def put(
    settings: Settings,
    expression: str,
    values: Mapping[str, str],
    *,
    name: str = "",
    timezone: str = "UTC",
    start: str = "",
    end: str = "",
) -> Scheduled:
    """Make the schedule `name`, or bring it up to date: a run with `values` whenever `expression` is due.

    `start` and `end` are local times of `timezone`. Raises PipelineError for an expression that is none or is never
    due, a time zone or a parameter that is not known, and where the pipeline is not in the account.
    """
    name = name or default_name(settings)
    if _NAME.fullmatch(name) is None:
        raise PipelineError(f"{name!r} is no name for a schedule; take up to 64 letters, digits and any of - _ .")
    window = check_times(expression, timezone, start, end)
    declared = definition(client(settings, "sagemaker"), settings)["Parameters"]
    request = {
        "Name": name,
        "ScheduleExpression": expression,
        "ScheduleExpressionTimezone": timezone,
        "Description": f"Starts runs of the pipeline {settings.name}",
        "Target": _target(settings, parameters.checked(declared, values)),
        **window,
    }
    return save(settings, request)


def target(settings: Settings, arn: str) -> dict[str, Any]:
    """A schedule's target: what is invoked, as whom, and what happens where that fails."""
    return {
        "Arn": arn,
        "RoleArn": settings.role_arn("scheduler"),
        "RetryPolicy": RETRY_POLICY,
        "DeadLetterConfig": {"Arn": settings.dead_letter_queue_arn},
    }


def save(settings: Settings, schedule: Mapping[str, Any]) -> Scheduled:
    """Make a schedule in the pipeline's group, or bring it up to date."""
    request = {
        **schedule,
        "GroupName": settings.name,
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "State": "ENABLED",
    }
    name = request["Name"]
    scheduler = client(settings, "scheduler")
    before = _get(scheduler, settings.name, name)
    change: Literal["created", "updated", "unchanged"]
    if before is None:
        _ensure_group(scheduler, settings.name)
        scheduler.create_schedule(**request)
        change = "created"
    elif _same(before, request):
        change = "unchanged"
    else:
        scheduler.update_schedule(**request)
        change = "updated"
    return Scheduled(change, _described(scheduler, settings.name, name))


def schedules(settings: Settings) -> list[Schedule]:
    """The pipeline's schedules by name: those in its group, and those elsewhere that start it."""
    scheduler = client(settings, "scheduler")
    arn = pipeline_arn(settings)
    found = [
        (one["GroupName"], one["Name"])
        for page in scheduler.get_paginator("list_schedules").paginate()
        for one in page["Schedules"]
        if one["GroupName"] == settings.name or one["Target"]["Arn"] == arn
    ]
    return [_described(scheduler, group, name) for group, name in sorted(found, key=lambda one: one[::-1])]


def remove(settings: Settings, name: str = "") -> Schedule:
    """Delete a schedule of this pipeline; what it has started goes on. Raises PipelineError where there is none."""
    wanted = name or default_name(settings)
    missing = f"the pipeline {settings.name} has no schedule {wanted}; see them: python -m pipeline schedules"
    matching = [one for one in schedules(settings) if one.name == wanted]
    if not matching:
        raise PipelineError(missing)
    # Of two with one name, the one in our own group is the one that `schedule` makes.
    chosen = next((one for one in matching if one.group == settings.name), matching[0])
    with error_if_missing(missing):
        client(settings, "scheduler").delete_schedule(Name=chosen.name, GroupName=chosen.group)
    return chosen


def check_times(expression: str, timezone: str, start: str, end: str) -> dict[str, datetime]:
    """StartDate and EndDate of a request. Raises PipelineError for what would never fire."""
    timetable = Timetable.parse(expression, timezone)
    if timetable.moment is not None and (start or end):
        raise PipelineError(f"{expression} is due once; --start and --end are for rate and cron")
    window = {}
    for option, key, text in (("--start", "StartDate", start), ("--end", "EndDate", end)):
        if text:
            try:
                window[key] = local_moment(text if "T" in text else f"{text}T00:00:00", timezone)
            except ExpressionError as error:
                raise PipelineError(f"{option}: {error}") from None
    now = datetime.now(UTC)
    first, last = window.get("StartDate"), window.get("EndDate")
    if first is not None and first <= now:
        raise PipelineError(f"--start {start} is past in {timezone}; leave it out to begin at once")
    if timetable.following(now, since=now, start=first, end=last) is None:
        until = f" until {end}" if end else ""
        raise PipelineError(f"{expression} in {timezone} is never due from now on{until}; take a later time")
    return window


def _target(settings: Settings, values: list[dict[str, str]]) -> dict[str, Any]:
    found = target(settings, pipeline_arn(settings))
    if values:
        found["SageMakerPipelineParameters"] = {"PipelineParameterList": values}
    return found


def _ensure_group(scheduler: Any, name: str) -> None:
    with contextlib.suppress(scheduler.exceptions.ConflictException):
        scheduler.create_schedule_group(Name=name)


def _get(scheduler: Any, group: str, name: str) -> dict[str, Any] | None:
    from botocore.exceptions import ClientError

    try:
        found: dict[str, Any] = scheduler.get_schedule(Name=name, GroupName=group)
    except ClientError as error:
        if says_missing(error):
            return None
        raise
    return found


def _same(before: dict[str, Any], request: dict[str, Any]) -> bool:
    """Whether an update would change nothing. It would begin a rate anew, and so start a run at once."""
    dates = ("StartDate", "EndDate")
    return all(before.get(key) == value for key, value in request.items() if key not in dates) and all(
        _seconds(before.get(key)) == _seconds(request.get(key)) for key in dates
    )


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _described(scheduler: Any, group: str, name: str) -> Schedule:
    found = scheduler.get_schedule(Name=name, GroupName=group)
    target = found["Target"]
    values = target.get("SageMakerPipelineParameters", {}).get("PipelineParameterList", [])
    timezone = found.get("ScheduleExpressionTimezone", "UTC")
    next_run = None
    if found["State"] == "ENABLED":
        next_run = Timetable.parse(found["ScheduleExpression"], timezone).following(
            datetime.now(UTC),
            since=found["LastModificationDate"],
            start=found.get("StartDate"),
            end=found.get("EndDate"),
        )
    return Schedule(
        name=name,
        group=group,
        expression=found["ScheduleExpression"],
        timezone=timezone,
        state=found["State"],
        target=target["Arn"],
        parameters={one["Name"]: one["Value"] for one in values},
        next_run=next_run,
        start=found.get("StartDate"),
        end=found.get("EndDate"),
        arn=found["Arn"],
    )
