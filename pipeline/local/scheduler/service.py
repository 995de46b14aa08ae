"""The operations of EventBridge Scheduler, and the invocations of targets.

https://docs.aws.amazon.com/scheduler/latest/APIReference/. A schedule fires only while the cloud runs; missed times are
not made up.
"""

from __future__ import annotations

import functools
import logging
import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pipeline.local.context import Context, Request, ServiceError, now
from pipeline.local.sagemaker.resources import chosen, page
from pipeline.local.scheduler.clock import Clock
from pipeline.local.scheduler.schedules import DEFAULT_GROUP, check, document, key_of, next_due
from pipeline.local.scheduler.targets import Invocation, Targets

log = logging.getLogger(__name__)

SCHEDULE = "schedule"
GROUP = "schedule-group"
# Before the second attempt; the wait doubles with each attempt. The service waits longer.
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
        """Handlers by operation."""
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
            "TagResource": self.tag,
            "UntagResource": self.untag,
            "ListTagsForResource": self.list_tags,
        }

    def start(self) -> None:
        """Fire the schedules from now on."""
        for schedule in self._store.list(SCHEDULE):
            self._plan(schedule, datetime.now(UTC))
        self._clock.start()

    def close(self) -> None:
        """Stop firing."""
        self._clock.close()

    # -------------------------------------------------------------------------------------------------- schedules

    def create(self, request: Request) -> Request:
        """Create a schedule."""
        key, at = key_of(request), now()
        self._group(request.get("GroupName", DEFAULT_GROUP))
        arn = self._context.arn("scheduler", f"schedule/{key}")
        schedule = document(request, arn, at, at)
        check(schedule, at)
        if not self._store.create(SCHEDULE, key, schedule):
            raise ServiceError("ConflictException", f"Schedule {request['Name']} already exists.", 409)
        self._plan_changed(schedule)
        return {"ScheduleArn": arn}

    def update(self, request: Request) -> Request:
        """Replace a schedule."""
        before = self.get(request)
        # The time identifies a version of the schedule: two updates in one millisecond must differ.
        at = max(now(), round(before["LastModificationDate"] + 0.001, 3))
        schedule = document(request, before["Arn"], before["CreationDate"], at)
        check(schedule, at)
        self._store.put(SCHEDULE, key_of(request), schedule)
        self._plan_changed(schedule)
        return {"ScheduleArn": schedule["Arn"]}

    def get(self, request: Request) -> Request:
        """The schedule."""
        schedule = self._store.get(SCHEDULE, key_of(request))
        if schedule is None:
            raise ServiceError("ResourceNotFoundException", f"Schedule {request['Name']} does not exist.", 404)
        return schedule

    def delete(self, request: Request) -> Request:
        """Delete a schedule; runs that it has started continue."""
        self.get(request)
        self._store.delete(SCHEDULE, key_of(request))
        return {}

    def list_schedules(self, request: Request) -> Request:
        """Summaries."""
        if "GroupName" in request:
            self._group(request["GroupName"])
        summaries = [
            {**chosen(schedule, _SUMMARY), "Target": {"Arn": schedule["Target"]["Arn"]}}
            for schedule in self._store.list(SCHEDULE)
            if request.get("GroupName") in (None, schedule["GroupName"])
            and schedule["Name"].startswith(request.get("NamePrefix", ""))
            and request.get("State") in (None, schedule["State"])
        ]
        return page({"MaxResults": 100, **request}, summaries, "Schedules")

    # ----------------------------------------------------------------------------------------------------- groups

    def create_group(self, request: Request) -> Request:
        """Create a group."""
        if not self._new_group(request["Name"]):
            raise ServiceError("ConflictException", f"Schedule group {request['Name']} already exists.", 409)
        self._set_tags(request["Name"], request.get("Tags", []), [])
        return {"ScheduleGroupArn": self._group(request["Name"])["Arn"]}

    def get_group(self, request: Request) -> Request:
        """The group."""
        return self._shown(self._group(request["Name"]))

    def delete_group(self, request: Request) -> Request:
        """Delete a group with its schedules."""
        name = request["Name"]
        self._group(name)
        if name == DEFAULT_GROUP:
            raise ServiceError("ValidationException", "The default schedule group cannot be deleted.")
        for schedule in self._store.list(SCHEDULE):
            if schedule["GroupName"] == name:
                self._store.delete(SCHEDULE, key_of(schedule))
        self._store.delete(GROUP, name)
        return {}

    def list_groups(self, request: Request) -> Request:
        """The groups."""
        prefix = request.get("NamePrefix", "")
        groups = [self._shown(group) for group in self._store.list(GROUP) if group["Name"].startswith(prefix)]
        return page({"MaxResults": 100, **request}, groups, "ScheduleGroups")

    def tag(self, request: Request) -> Request:
        """Add tags to a group: a schedule has none.

        https://docs.aws.amazon.com/scheduler/latest/APIReference/API_TagResource.html
        """
        self._set_tags(self._named(request["ResourceArn"]), request["Tags"], [])
        return {}

    def untag(self, request: Request) -> Request:
        """Remove tags from a group."""
        self._set_tags(self._named(request["ResourceArn"]), [], request["TagKeys"])
        return {}

    def list_tags(self, request: Request) -> Request:
        """The tags of a group."""
        tags = self._group(self._named(request["ResourceArn"])).get("Tags", {})
        return {"Tags": [{"Key": key, "Value": value} for key, value in sorted(tags.items())]}

    def _named(self, arn: str) -> str:
        """The name of the group with the ARN."""
        name = arn.rpartition("/")[2]
        if self._group(name)["Arn"] != arn:
            raise ServiceError("ResourceNotFoundException", f"Resource {arn} does not exist.", 404)
        return name

    def _set_tags(self, name: str, added: list[Request], removed: list[str]) -> None:
        def change(group: Request) -> None:
            tags = group.get("Tags", {}) | {tag["Key"]: tag["Value"] for tag in added}
            group["Tags"] = {key: value for key, value in tags.items() if key not in removed}

        self._store.update(GROUP, name, change)

    @staticmethod
    def _shown(group: Request) -> Request:
        return {key: value for key, value in group.items() if key != "Tags"}

    def _new_group(self, name: str) -> bool:
        arn, at = self._context.arn("scheduler", f"schedule-group/{name}"), now()
        group = {"Arn": arn, "Name": name, "State": "ACTIVE", "CreationDate": at, "LastModificationDate": at}
        return self._store.create(GROUP, name, group)

    def _group(self, name: str) -> Request:
        group = self._store.get(GROUP, name)
        if group is None:
            raise ServiceError("ResourceNotFoundException", f"Schedule group {name} does not exist.", 404)
        return group

    # ----------------------------------------------------------------------------------------------------- firing

    def _plan_changed(self, schedule: Request) -> None:
        """Plan a new or changed schedule: a rate without a start begins at the time of the change."""
        self._plan(schedule, datetime.fromtimestamp(schedule["LastModificationDate"], UTC) - _MOMENT)

    def _plan(self, schedule: Request, after: datetime) -> None:
        due = next_due(schedule, after) if schedule["State"] == "ENABLED" else None
        if due is not None:
            self._clock.at(due, functools.partial(self._fire, schedule, due))

    def _is_current(self, schedule: Request) -> bool:
        """Whether a schedule has not changed since it was planned."""
        return self._store.get(SCHEDULE, key_of(schedule)) == schedule

    def _fire(self, schedule: Request, scheduled: datetime) -> None:
        if not self._is_current(schedule):
            return
        at = scheduled + _delay(schedule, scheduled)
        self._clock.at(at, functools.partial(self._invoke, schedule, scheduled, 1))
        # Times that passed while the machine was suspended are skipped.
        self._plan(schedule, max(scheduled, datetime.now(UTC) - timedelta(seconds=1)))

    def _invoke(self, schedule: Request, scheduled: datetime, attempt: int) -> None:
        if not self._is_current(schedule):
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
            self._store.delete(SCHEDULE, key_of(schedule))

    def _retry(self, invocation: Invocation, error: Exception) -> bool:
        """Plan the next attempt. After the last one, send the dead letter and return False."""
        schedule, attempt = invocation.schedule, invocation.attempt
        policy = schedule["Target"]["RetryPolicy"]
        wait = min(RETRY_SECONDS * 2.0 ** (attempt - 1), LONGEST_RETRY_SECONDS)
        at = datetime.now(UTC) + timedelta(seconds=wait)
        too_old = at > invocation.scheduled + timedelta(seconds=policy["MaximumEventAgeInSeconds"])
        if attempt <= policy["MaximumRetryAttempts"] and not too_old:
            self._clock.at(at, functools.partial(self._invoke, schedule, invocation.scheduled, attempt + 1))
            return True
        self._dead_letter(invocation, error, "MaximumEventAgeInSeconds" if too_old else "MaximumRetryAttempts")
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
        try:
            self._targets.dead_letter(invocation.schedule, queue, self._targets.payload(invocation), attributes)
        except ServiceError as refused:
            log.error("%s: the message is lost: %s", queue, refused)


def _delay(schedule: Request, scheduled: datetime) -> timedelta:
    """The delay within the flexible window: random, but the same for the same schedule and time."""
    minutes = schedule["FlexibleTimeWindow"].get("MaximumWindowInMinutes", 0)
    chance = random.Random(f"{schedule['Arn']} {scheduled}")  # noqa: S311  # no secret
    return timedelta(minutes=minutes * chance.random())
