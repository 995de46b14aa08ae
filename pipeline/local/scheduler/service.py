"""Schedules' operations, and their firing.

https://docs.aws.amazon.com/scheduler/latest/APIReference/. A schedule fires while the cloud runs; a time at which it
did not run is past, and is not made up for.
"""

from __future__ import annotations

import functools
import logging
import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pipeline.local.context import Context, ServiceError, now, send_dead_letter
from pipeline.local.sagemaker.resources import chosen, page
from pipeline.local.scheduler.clock import Clock
from pipeline.local.scheduler.schedules import DEFAULT_GROUP, Key, Request, check, document, next_due
from pipeline.local.scheduler.targets import Invocation, Targets

log = logging.getLogger(__name__)

SCHEDULE = "schedule"
GROUP = "schedule-group"
# Between the first attempt and the second; it doubles from there. The service waits longer.
RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 60.0
_MOMENT = timedelta(microseconds=1)
_SUMMARY = ("Arn", "Name", "GroupName", "State", "CreationDate", "LastModificationDate")


class Scheduler:
    """EventBridge Scheduler."""

    def __init__(self, context: Context, targets: Targets) -> None:
        self._context = context
        self._store = context.store
        self._targets = targets
        self._clock = Clock("scheduler")
        if self._store.get(GROUP, DEFAULT_GROUP) is None:
            self._new_group(DEFAULT_GROUP)

    def operations(self) -> dict[str, Callable[[Request], Request]]:
        """Operation names and their handlers."""
        return {
            "CreateSchedule": self.create,
            "UpdateSchedule": self.update,
            "GetSchedule": self.get,
            "DeleteSchedule": self.delete,
            "ListSchedules": self.list_schedules,
            "CreateScheduleGroup": self.create_group,
            "GetScheduleGroup": self.get_group,
            "DeleteScheduleGroup": self.delete_group,
            "ListScheduleGroups": self.list_groups,
        }

    def start(self) -> None:
        """Fire what is due from now on."""
        for schedule in self._store.list(SCHEDULE):
            self._plan(schedule, datetime.now(UTC))
        self._clock.start()

    def close(self) -> None:
        """Stop firing."""
        self._clock.close()

    # -------------------------------------------------------------------------------------------------- schedules

    def create(self, request: Request) -> Request:
        """Create a schedule."""
        key, at = Key.of(request), now()
        self._group(key.group)
        arn = self._context.arn("scheduler", f"schedule/{key}")
        made = document(request, arn, at, at)
        check(made, at)
        if not self._store.create(SCHEDULE, str(key), made):
            raise ServiceError("ConflictException", f"Schedule {key.name} already exists.", 409)
        self._plan_anew(made)
        return {"ScheduleArn": arn}

    def update(self, request: Request) -> Request:
        """Replace a schedule."""
        key, at = Key.of(request), now()
        before = self._schedule(key)
        # What is planned for the schedule is known by this time; two updates in a millisecond must differ.
        at = max(at, round(before["LastModificationDate"] + 0.001, 3))
        made = document(request, before["Arn"], before["CreationDate"], at)
        check(made, at)
        self._store.put(SCHEDULE, str(key), made)
        self._plan_anew(made)
        return {"ScheduleArn": made["Arn"]}

    def get(self, request: Request) -> Request:
        """The schedule."""
        return self._schedule(Key.of(request))

    def delete(self, request: Request) -> Request:
        """Delete a schedule; what it has started goes on."""
        key = Key.of(request)
        self._schedule(key)
        self._store.delete(SCHEDULE, str(key))
        return {}

    def list_schedules(self, request: Request) -> Request:
        """Summaries."""
        if "GroupName" in request:
            self._group(request["GroupName"])
        found = [
            {**chosen(one, _SUMMARY), "Target": {"Arn": one["Target"]["Arn"]}}
            for one in self._store.list(SCHEDULE)
            if one["GroupName"] == request.get("GroupName", one["GroupName"])
            and one["Name"].startswith(request.get("NamePrefix", ""))
            and one["State"] == request.get("State", one["State"])
        ]
        return page({"MaxResults": 100, **request}, found, "Schedules")

    def _schedule(self, key: Key) -> Request:
        found = self._store.get(SCHEDULE, str(key))
        if found is None:
            raise ServiceError("ResourceNotFoundException", f"Schedule {key.name} does not exist.", 404)
        return found

    # ----------------------------------------------------------------------------------------------------- groups

    def create_group(self, request: Request) -> Request:
        """Create a group."""
        if not self._new_group(request["Name"]):
            raise ServiceError("ConflictException", f"Schedule group {request['Name']} already exists.", 409)
        return {"ScheduleGroupArn": self._group(request["Name"])["Arn"]}

    def get_group(self, request: Request) -> Request:
        """The group."""
        return self._group(request["Name"])

    def delete_group(self, request: Request) -> Request:
        """Delete a group with its schedules."""
        name = request["Name"]
        self._group(name)
        if name == DEFAULT_GROUP:
            raise ServiceError("ValidationException", "The default schedule group cannot be deleted.")
        for schedule in self._store.list(SCHEDULE):
            if schedule["GroupName"] == name:
                self._store.delete(SCHEDULE, str(Key.of(schedule)))
        self._store.delete(GROUP, name)
        return {}

    def list_groups(self, request: Request) -> Request:
        """The groups."""
        prefix = request.get("NamePrefix", "")
        found = [one for one in self._store.list(GROUP) if one["Name"].startswith(prefix)]
        return page({"MaxResults": 100, **request}, found, "ScheduleGroups")

    def _new_group(self, name: str) -> bool:
        arn, at = self._context.arn("scheduler", f"schedule-group/{name}"), now()
        made = {"Arn": arn, "Name": name, "State": "ACTIVE", "CreationDate": at, "LastModificationDate": at}
        return self._store.create(GROUP, name, made)

    def _group(self, name: str) -> Request:
        found = self._store.get(GROUP, name)
        if found is None:
            raise ServiceError("ResourceNotFoundException", f"Schedule group {name} does not exist.", 404)
        return found

    # ----------------------------------------------------------------------------------------------------- firing

    def _plan_anew(self, schedule: Request) -> None:
        """A rate without a start begins with the very moment at which it was made."""
        self._plan(schedule, datetime.fromtimestamp(schedule["LastModificationDate"], UTC) - _MOMENT)

    def _plan(self, schedule: Request, after: datetime) -> None:
        due = next_due(schedule, after) if schedule["State"] == "ENABLED" else None
        if due is not None:
            self._clock.at(due, functools.partial(self._fire, schedule, due))

    def _current(self, schedule: Request) -> bool:
        """Whether a schedule is still as it was when something was planned for it."""
        return self._store.get(SCHEDULE, str(Key.of(schedule))) == schedule

    def _fire(self, schedule: Request, scheduled: datetime) -> None:
        if not self._current(schedule):
            return
        at = scheduled + _delay(schedule, scheduled)
        self._clock.at(at, functools.partial(self._invoke, schedule, scheduled, 1))
        # After a machine slept, the times that it has slept through are past.
        self._plan(schedule, max(scheduled, datetime.now(UTC) - timedelta(seconds=1)))

    def _invoke(self, schedule: Request, scheduled: datetime, attempt: int) -> None:
        if not self._current(schedule):
            return
        invocation = Invocation(schedule, scheduled, attempt, uuid.uuid4().hex[:16])
        try:
            self._targets.send(invocation)
        except Exception as error:
            log.warning("schedule %s, attempt %d: %s", schedule["Arn"], attempt, error)
            if self._retry(invocation, error):
                return
        else:
            log.info("schedule %s has invoked %s", schedule["Arn"], schedule["Target"]["Arn"])
        if schedule["ActionAfterCompletion"] == "DELETE" and next_due(schedule, scheduled) is None:
            self._store.delete(SCHEDULE, str(Key.of(schedule)))

    def _retry(self, invocation: Invocation, error: Exception) -> bool:
        """Plan the next attempt; after the last one allowed, send the dead letter and give False."""
        schedule, attempt = invocation.schedule, invocation.attempt
        policy = schedule["Target"]["RetryPolicy"]
        wait = min(RETRY_SECONDS * 2.0 ** (attempt - 1), LONGEST_RETRY_SECONDS)
        at = datetime.now(UTC) + timedelta(seconds=wait)
        too_old = at > invocation.scheduled + timedelta(seconds=policy["MaximumEventAgeInSeconds"])
        if attempt <= policy["MaximumRetryAttempts"] and not too_old:
            self._clock.at(at, functools.partial(self._invoke, schedule, invocation.scheduled, attempt + 1))
            return True
        condition = "MaximumEventAgeInSeconds" if too_old else "MaximumRetryAttempts"
        self._dead_letter(invocation, error, condition)
        return False

    def _dead_letter(self, invocation: Invocation, error: Exception, condition: str) -> None:
        """https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html."""
        target = invocation.schedule["Target"]
        queue = target.get("DeadLetterConfig", {}).get("Arn")
        if queue is None:
            return
        attributes = {
            "ERROR_CODE": error.code if isinstance(error, ServiceError) else type(error).__name__,
            "ERROR_MESSAGE": str(error),
            "EXECUTION_ID": invocation.execution_id,
            "EXHAUSTED_RETRY_CONDITION": condition,
            "IS_PAYLOAD_TRUNCATED": "false",
            "RETRY_ATTEMPTS": str(invocation.attempt - 1),
            "SCHEDULED_TIME": invocation.time,
            "SCHEDULE_ARN": invocation.schedule["Arn"],
            "TARGET_ARN": target["Arn"],
        }
        send_dead_letter(self._context, queue, self._targets.payload(invocation), attributes)


def _delay(schedule: Request, scheduled: datetime) -> timedelta:
    """How far into its flexible window a schedule fires: anywhere, but the same each time that one asks."""
    minutes = schedule["FlexibleTimeWindow"].get("MaximumWindowInMinutes", 0)
    chance = random.Random(f"{schedule['Arn']} {scheduled}")  # noqa: S311  # no secret
    return timedelta(minutes=minutes * chance.random())
