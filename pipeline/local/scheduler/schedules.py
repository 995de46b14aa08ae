"""Schedules as documents in the store, their validation, and the next time a schedule is due."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from pipeline.aws.timetable import ExpressionError, Timetable
from pipeline.local.context import Request, ServiceError

DEFAULT_GROUP = "default"
UNIVERSAL = "arn:aws:scheduler:::aws-sdk:"
# https://docs.aws.amazon.com/scheduler/latest/APIReference/API_RetryPolicy.html
DEFAULT_RETRIES = {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}
# A start may be up to five minutes ago. Source: moto's scheduler, which cites the rule.
OLDEST_START_SECONDS = 300
_MEMBERS = (
    *("ScheduleExpression", "StartDate", "EndDate", "Description", "KmsKeyArn", "Target", "FlexibleTimeWindow"),
)


def key_of(request: Request) -> str:
    """The group and the name in a request or a document, which are unique in the account."""
    return f"{request.get('GroupName', DEFAULT_GROUP)}/{request['Name']}"


def document(request: Request, arn: str, created: float, modified: float) -> Request:
    """The schedule of a CreateSchedule or UpdateSchedule, with defaults for the members that are missing.

    An update replaces all of a schedule: https://docs.aws.amazon.com/scheduler/latest/APIReference/API_UpdateSchedule.html
    """
    schedule = {
        **{name: request[name] for name in _MEMBERS if name in request},
        "Arn": arn,
        "Name": request["Name"],
        "GroupName": request.get("GroupName", DEFAULT_GROUP),
        "ScheduleExpressionTimezone": request.get("ScheduleExpressionTimezone", "UTC"),
        "State": request.get("State", "ENABLED"),
        "ActionAfterCompletion": request.get("ActionAfterCompletion", "NONE"),
        "CreationDate": created,
        "LastModificationDate": modified,
    }
    retries = {**DEFAULT_RETRIES, **schedule["Target"].get("RetryPolicy", {})}
    schedule["Target"] = {**schedule["Target"], "RetryPolicy": retries}
    return schedule


def check(schedule: Request, at: float) -> None:
    """Raise ServiceError for a schedule that the service would refuse, or with a target that the local cloud lacks."""
    try:
        Timetable.parse(schedule["ScheduleExpression"], schedule["ScheduleExpressionTimezone"])
    except ExpressionError as error:
        raise _invalid(f"Invalid Schedule Expression {schedule['ScheduleExpression']}. {error}") from None
    window = schedule["FlexibleTimeWindow"]
    if (window["Mode"] == "FLEXIBLE") != ("MaximumWindowInMinutes" in window):
        raise _invalid("FlexibleTimeWindow: MaximumWindowInMinutes must be set if, and only if, the mode is FLEXIBLE.")
    start, end = schedule.get("StartDate"), schedule.get("EndDate")
    if start is not None and start < at - OLDEST_START_SECONDS:
        raise _invalid("The StartDate you specify cannot be earlier than 5 minutes ago.")
    if end is not None and end <= (at if start is None else start):
        raise _invalid("The EndDate you specify must be later than the StartDate, and than now.")
    _check_target(schedule["Target"])


def _check_target(target: Request) -> None:
    arn = target["Arn"]
    is_pipeline = ":sagemaker:" in arn and ":pipeline/" in arn
    is_function = ":lambda:" in arn and ":function:" in arn
    if not (is_pipeline or is_function or arn.startswith(UNIVERSAL)):
        raise _invalid(f"The local cloud's schedules start pipelines, functions and SageMaker's operations, not {arn}.")
    if "SageMakerPipelineParameters" in target and not is_pipeline:
        raise _invalid("SageMakerPipelineParameters: the target must be a pipeline.")
    if arn.startswith(UNIVERSAL) and len(arn.removeprefix(UNIVERSAL).split(":")) != 2:
        raise _invalid(f"{arn} is no universal target; write {UNIVERSAL}service:apiAction")
    if "Input" in target and not is_pipeline:
        try:
            json.loads(target["Input"])
        except ValueError as error:
            raise _invalid(f"Target.Input is not valid JSON: {error}") from None


def _invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)


def next_due(schedule: Request, after: datetime) -> datetime | None:
    """The first time after `after` at which the schedule is due, or None."""
    timetable = Timetable.parse(schedule["ScheduleExpression"], schedule["ScheduleExpressionTimezone"])
    return timetable.following(
        after,
        since=_time(schedule["LastModificationDate"]),
        start=_time(schedule["StartDate"]) if "StartDate" in schedule else None,
        end=_time(schedule["EndDate"]) if "EndDate" in schedule else None,
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
