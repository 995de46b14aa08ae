"""Schedules that start runs: create, list and delete them.

They belong to EventBridge Scheduler, in a group with the pipeline's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pipeline.aws import errors as aws_errors
from pipeline.aws.pages import items
from pipeline.aws.responses import error_if_missing, exists
from pipeline.aws.tags import tagged
from pipeline.aws.timetable import ExpressionError, Timetable, local_moment
from pipeline.clients import client
from pipeline.operations.runs import parameters
from pipeline.operations.runs.executions import definition, pipeline_arn
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

# A run that could not be started is tried again for an hour.
RETRY_POLICY = {"MaximumRetryAttempts": 5, "MaximumEventAgeInSeconds": 3600}
# https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html
_NAME = re.compile(r"[0-9A-Za-z_.-]{1,64}")


@dataclass(frozen=True)
class Schedule:
    """A schedule of this pipeline. `target` is the ARN of the pipeline, or of an API's operation."""

    name: str
    group: str
    expression: str
    timezone: str
    state: str
    target: str
    parameters: dict[str, str]
    next_run: datetime | None = None
    """None for a disabled schedule and one without further runs."""
    start: datetime | None = None
    end: datetime | None = None
    arn: str = ""

    @property
    def is_due(self) -> bool:
        """Whether it will start something more."""
        return self.state == "ENABLED" and self.next_run is not None

    @property
    def starts(self) -> str:
        """What the schedule starts: `run`, or the API's operation."""
        return "run" if ":pipeline/" in self.target else self.target.rsplit(":", 1)[-1]


@dataclass(frozen=True)
class ScheduleResult:
    """A schedule and the change that was made."""

    change: Literal["created", "updated", "unchanged"]
    schedule: Schedule


def default_name(settings: Settings) -> str:
    """The name of a schedule without a given name."""
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
) -> ScheduleResult:
    """Create or update the schedule `name`: a run with `values` whenever `expression` is due.

    `start` and `end` are local times of `timezone`. Raises PipelineError for an expression that is invalid or never
    due, an unknown time zone or parameter, and where the pipeline is not in the account.
    """
    name = name or default_name(settings)
    if _NAME.fullmatch(name) is None:
        raise PipelineError(f"{name!r} is no name for a schedule; use up to 64 letters, digits and any of - _ .")
    window = check_times(expression, timezone, start, end)
    chosen = parameters.checked(settings, definition(client(settings, "sagemaker"), settings), values)
    pipeline_parameters = {"SageMakerPipelineParameters": {"PipelineParameterList": chosen}} if chosen else {}
    request = {
        "Name": name,
        "ScheduleExpression": expression,
        "ScheduleExpressionTimezone": timezone,
        "Description": f"Starts runs of the pipeline {settings.name}",
        "Target": {**target(settings, pipeline_arn(settings)), **pipeline_parameters},
        **window,
    }
    return save(settings, request)


def target(settings: Settings, arn: str) -> dict[str, Any]:
    """A schedule's target: the invoked ARN, its role, retries and the dead-letter queue."""
    return {
        "Arn": arn,
        "RoleArn": settings.role_arn("scheduler"),
        "RetryPolicy": RETRY_POLICY,
        "DeadLetterConfig": {"Arn": settings.dead_letter_queue_arn},
    }


def save(settings: Settings, schedule: Mapping[str, Any]) -> ScheduleResult:
    """Create or update a schedule in the pipeline's group."""
    request = {**schedule, "GroupName": settings.name, "FlexibleTimeWindow": {"Mode": "OFF"}, "State": "ENABLED"}
    name = request["Name"]
    scheduler = client(settings, "scheduler")
    before = exists(scheduler.get_schedule, Name=name, GroupName=settings.name)
    change: Literal["created", "updated", "unchanged"] = "unchanged"
    if before is None:
        _ensure_group(scheduler, settings)
        scheduler.create_schedule(**request)
        change = "created"
    else:
        _tag_group(scheduler, settings)
        if not _same(before, request):
            scheduler.update_schedule(**request)
            change = "updated"
    return ScheduleResult(change, _describe(scheduler, settings.name, name))


def _ensure_group(scheduler: Any, settings: Settings) -> None:
    """Create the pipeline's group with the tags, or set those of the existing group."""
    try:
        scheduler.create_schedule_group(Name=settings.name, **tagged(settings.tags))
    except scheduler.exceptions.ConflictException:
        _tag_group(scheduler, settings)


def _tag_group(scheduler: Any, settings: Settings) -> None:
    """Set the tags of the pipeline's group: a schedule itself has none.

    https://docs.aws.amazon.com/scheduler/latest/APIReference/API_TagResource.html
    """
    if settings.tags:
        arn = f"arn:aws:scheduler:{settings.account.region}:{settings.account.id}:schedule-group/{settings.name}"
        scheduler.tag_resource(ResourceArn=arn, **tagged(settings.tags))


def schedules(settings: Settings) -> list[Schedule]:
    """The pipeline's schedules by name: those in its group, and those elsewhere that start it.

    A schedule of another group that these credentials may not read is listed without its times.
    """
    return [described(settings, summary) for summary in summaries(settings)]


def summaries(settings: Settings) -> list[Mapping[str, Any]]:
    """The same as ListSchedules has them: without their times."""
    scheduler = client(settings, "scheduler")
    arn = pipeline_arn(settings)
    own = [
        summary
        for summary in items(scheduler.get_paginator("list_schedules"), "Schedules")
        if summary["GroupName"] == settings.name or summary["Target"]["Arn"] == arn
    ]
    return sorted(own, key=lambda summary: (summary["Name"], summary["GroupName"]))


def described(settings: Settings, summary: Mapping[str, Any]) -> Schedule:
    """The schedule of a summary."""
    from botocore.exceptions import ClientError

    name, group = summary["Name"], summary["GroupName"]
    try:
        return _describe(client(settings, "scheduler"), group, name)
    except ClientError as error:
        if not aws_errors.has_code(error, aws_errors.DENIED):
            raise
        expression = f"not readable (these credentials may not {aws_errors.denied_action(error)} in group {group})"
        return Schedule(name, group, expression, "", summary["State"], summary["Target"]["Arn"], {}, arn=summary["Arn"])


def remove(settings: Settings, name: str = "") -> Schedule:
    """Delete a schedule of this pipeline; its runs continue. Raises PipelineError where there is none."""
    wanted = name or default_name(settings)
    missing = f"the pipeline {settings.name} has no schedule {wanted}; see them: python -m pipeline schedules"
    matching = [schedule for schedule in schedules(settings) if schedule.name == wanted]
    if not matching:
        raise PipelineError(missing)
    # If two groups have a schedule of this name, the pipeline's own group counts.
    chosen = next((schedule for schedule in matching if schedule.group == settings.name), matching[0])
    with error_if_missing(missing):
        client(settings, "scheduler").delete_schedule(Name=chosen.name, GroupName=chosen.group)
    return chosen


def check_times(expression: str, timezone: str, start: str, end: str) -> dict[str, datetime]:
    """StartDate and EndDate of a request. Raises PipelineError for times that are never due."""
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
        raise PipelineError(f"{expression} in {timezone} is never due from now on{until}; set a later time")
    return window


def _same(before: dict[str, Any], request: dict[str, Any]) -> bool:
    """Whether an update would change nothing. An update would restart a rate, and so start a run at once."""
    dates = ("StartDate", "EndDate")
    return all(before.get(key) == value for key, value in request.items() if key not in dates) and all(
        _seconds(before.get(key)) == _seconds(request.get(key)) for key in dates
    )


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _describe(scheduler: Any, group: str, name: str) -> Schedule:
    return of_answer(scheduler.get_schedule(Name=name, GroupName=group))


def of_answer(answer: Mapping[str, Any]) -> Schedule:
    """The schedule that GetSchedule's answer describes."""
    target = answer["Target"]
    values = target.get("SageMakerPipelineParameters", {}).get("PipelineParameterList", [])
    timezone = answer.get("ScheduleExpressionTimezone", "UTC")
    start, end = answer.get("StartDate"), answer.get("EndDate")
    next_run = None
    if answer["State"] == "ENABLED":
        timetable = Timetable.parse(answer["ScheduleExpression"], timezone)
        next_run = timetable.following(datetime.now(UTC), since=answer["LastModificationDate"], start=start, end=end)
    return Schedule(
        name=answer["Name"],
        group=answer["GroupName"],
        expression=answer["ScheduleExpression"],
        timezone=timezone,
        state=answer["State"],
        target=target["Arn"],
        parameters={value["Name"]: value["Value"] for value in values},
        next_run=next_run,
        start=start,
        end=end,
        arn=answer["Arn"],
    )
