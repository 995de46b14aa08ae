"""Schedules and their groups, as the store keeps them, and when a schedule is due next."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.aws.timetable import ExpressionError, Timetable
from pipeline.local.context import ServiceError

Request = dict[str, Any]
DEFAULT_GROUP = "default"
UNIVERSAL = "arn:aws:scheduler:::aws-sdk:"
# https://docs.aws.amazon.com/scheduler/latest/APIReference/API_RetryPolicy.html
DEFAULT_RETRIES = {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}
# Moto's scheduler cites the rule: a start may lie five minutes back, for requests that take their time.
OLDEST_START_SECONDS = 300
_KEPT = (
    "ScheduleExpression",
    "StartDate",
    "EndDate",
    "Description",
    "KmsKeyArn",
    "Target",
    "FlexibleTimeWindow",
)


@dataclass(frozen=True)
class Key:
    """What names a schedule in its account."""

    group: str
    name: str

    @classmethod
    def of(cls, request: Request) -> Key:
        """The key in a request or a document."""
        return cls(request.get("GroupName", DEFAULT_GROUP), request["Name"])

    def __str__(self) -> str:
        return f"{self.group}/{self.name}"


def document(request: Request, arn: str, created: float, modified: float) -> Request:
    """The schedule that a CreateSchedule or UpdateSchedule asks for; what it leaves out gets its default.

    An update replaces all of a schedule: https://docs.aws.amazon.com/scheduler/latest/APIReference/API_UpdateSchedule.html
    """
    made = {
        **{name: request[name] for name in _KEPT if name in request},
        "Arn": arn,
        "Name": request["Name"],
        "GroupName": request.get("GroupName", DEFAULT_GROUP),
        "ScheduleExpressionTimezone": request.get("ScheduleExpressionTimezone", "UTC"),
        "State": request.get("State", "ENABLED"),
        "ActionAfterCompletion": request.get("ActionAfterCompletion", "NONE"),
        "CreationDate": created,
        "LastModificationDate": modified,
    }
    retries = {**DEFAULT_RETRIES, **made["Target"].get("RetryPolicy", {})}
    made["Target"] = {**made["Target"], "RetryPolicy": retries}
    return made


def check(made: Request, at: float) -> None:
    """Refuse what the service would refuse, and targets that are not here. Raises ServiceError."""
    try:
        Timetable.parse(made["ScheduleExpression"], made["ScheduleExpressionTimezone"])
    except ExpressionError as error:
        raise _invalid(f"Invalid Schedule Expression {made['ScheduleExpression']}. {error}") from None
    window = made["FlexibleTimeWindow"]
    if (window["Mode"] == "FLEXIBLE") != ("MaximumWindowInMinutes" in window):
        raise _invalid("FlexibleTimeWindow: MaximumWindowInMinutes goes with the mode FLEXIBLE.")
    start, end = made.get("StartDate"), made.get("EndDate")
    if start is not None and start < at - OLDEST_START_SECONDS:
        raise _invalid("The StartDate you specify cannot be earlier than 5 minutes ago.")
    if end is not None and end <= (at if start is None else start):
        raise _invalid("The EndDate you specify must be later than the StartDate, and than now.")
    _check_target(made["Target"])


def _check_target(target: Request) -> None:
    arn = target["Arn"]
    is_pipeline = ":sagemaker:" in arn and ":pipeline/" in arn
    is_function = ":lambda:" in arn and ":function:" in arn
    if not (is_pipeline or is_function or arn.startswith(UNIVERSAL)):
        raise _invalid(f"The local cloud's schedules start pipelines, functions and SageMaker's operations, not {arn}.")
    if "SageMakerPipelineParameters" in target and not is_pipeline:
        raise _invalid("SageMakerPipelineParameters goes with a target that is a pipeline.")
    if arn.startswith(UNIVERSAL) and len(arn.removeprefix(UNIVERSAL).split(":")) != 2:
        raise _invalid(f"{arn} is no universal target: {UNIVERSAL}service:apiAction")
    if "Input" in target and not is_pipeline:
        try:
            json.loads(target["Input"])
        except ValueError as error:
            raise _invalid(f"Target.Input is not valid JSON: {error}") from None


def _invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)


def next_due(schedule: Request, after: datetime) -> datetime | None:
    """The first time later than `after` at which the schedule is due, or None."""
    timetable = Timetable.parse(schedule["ScheduleExpression"], schedule["ScheduleExpressionTimezone"])
    return timetable.following(
        after,
        since=_time(schedule["LastModificationDate"]),
        start=_time(schedule["StartDate"]) if "StartDate" in schedule else None,
        end=_time(schedule["EndDate"]) if "EndDate" in schedule else None,
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
