"""EventBridge's delivery: events that match a rule's pattern, and times of its schedule, reach its Lambda targets.

Rules and targets are in moto; an event is matched with a rule's own pattern. Lambda accepts an event and retries by
itself, so that an event cannot be delivered only if its function is missing. It goes to the target's dead-letter queue:
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
"""

from __future__ import annotations

import functools
import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.aws.timetable import ExpressionError, Timetable
from pipeline.local import event_inputs, threads
from pipeline.local.context import Context, ServiceError, send_dead_letter
from pipeline.local.identity.identity import Identity
from pipeline.local.machine.functions import Functions

log = logging.getLogger(__name__)

Event = dict[str, Any]
DEFAULT_BUS = "default"
# How often the rules with a schedule are looked at.
INTERVAL_SECONDS = 0.5


@dataclass
class _Planned:
    """A rule's schedule, since when it counts, and when it fires next; None: never again."""

    expression: str
    since: datetime
    due: datetime | None

    @classmethod
    def since_now(cls, expression: str, at: datetime) -> _Planned:
        """Plan a new, changed or enabled rule."""
        planned = cls(expression, at, None)
        planned.advance(at)
        return planned

    def advance(self, after: datetime) -> None:
        """Plan the first time after `after`."""
        self.due = Timetable.parse(self.expression).following(after, since=self.since)


class Events:
    """The account's event buses. A thread fires the rules with a schedule."""

    def __init__(self, context: Context, functions: Functions, identity: Identity) -> None:
        self._context = context
        self._identity = identity
        self._functions = functions
        self._pool = threads.Workers(4, "event")
        self._planned: dict[str, _Planned] = {}
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Fire the rules with a schedule from now on."""
        self._thread = threads.start("event-schedules", self._run, threads.nothing_depends)

    def operations(self) -> dict[str, Callable[[Event], Event]]:
        """PutEvents; moto has EventBridge's other operations."""
        return {"PutEvents": self._put}

    def emit(self, detail_type: str, resources: list[str], detail: Event) -> None:
        """Deliver one of SageMaker's own events."""
        event = self._event("aws.sagemaker", detail_type, resources, detail)
        self._deliver(event, DEFAULT_BUS)

    def close(self) -> None:
        """Fire no other rule, and wait for the deliveries: an event that was accepted is not lost."""
        self._end.set()
        if self._thread is not None:
            self._thread.join(10)
        self._pool.finish()

    def _put(self, request: Event) -> Event:
        entries = []
        for entry in request["Entries"]:
            if entry.get("Source", "").startswith("aws."):
                message = "NotAuthorizedForSource: sources that start with aws. are AWS's own"
                entries.append({"ErrorCode": "NotAuthorizedForSourceException", "ErrorMessage": message})
                continue
            try:
                detail = json.loads(entry["Detail"])
            except (KeyError, ValueError):
                entries.append({"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."})
                continue
            bus = self._bus(entry.get("EventBusName", DEFAULT_BUS))
            if bus is None:
                # The code is of API_PutEventsResultEntry.html; that a missing bus has it is assumed.
                message = f"Event bus {entry['EventBusName']} does not exist."
                entries.append({"ErrorCode": "InvalidArgument", "ErrorMessage": message})
                continue
            event = self._event(entry["Source"], entry["DetailType"], entry.get("Resources", []), detail)
            if "Time" in entry:
                event["time"] = timestamp(float(entry["Time"]))
            self._deliver(event, bus)
            entries.append({"EventId": event["id"]})
        return {"FailedEntryCount": sum("ErrorCode" in entry for entry in entries), "Entries": entries}

    def check(self, operation: str, request: Event) -> None:
        """Refuse a rule or a target, which moto would store, that nothing here fires. Raises ServiceError."""
        if operation == "PutRule" and (expression := request.get("ScheduleExpression")):
            try:
                is_moment = Timetable.parse(expression).moment is not None
            except ExpressionError as error:
                raise _invalid(f"Parameter ScheduleExpression is not valid. {error}") from None
            if is_moment:
                # cron and rate: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html
                raise _invalid("Parameter ScheduleExpression is not valid. A rule has cron or rate.")
        for target in request.get("Targets", []) if operation == "PutTargets" else []:
            if ":lambda:" not in target["Arn"] or ":function:" not in target["Arn"]:
                raise _invalid(f"The local cloud's rules deliver to Lambda functions only, not to {target['Arn']}.")
            event_inputs.check(target)

    def _event(self, source: str, detail_type: str, resources: Sequence[str], detail: Event) -> Event:
        return {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": detail_type,
            "source": source,
            "account": self._context.account_id,
            "time": timestamp(time.time()),
            "region": self._context.region,
            "resources": list(resources),
            "detail": detail,
        }

    def _deliver(self, event: Event, bus: str) -> None:
        for rule, target in self._matching(event, bus):
            self._pool.submit(functools.partial(self._send, rule, target, event), threads.nothing_depends)

    def _buses(self) -> dict[str, Any]:
        from moto.events.models import events_backends

        buses: dict[str, Any] = events_backends[self._context.account_id][self._context.region].event_buses
        return buses

    def _bus(self, name: str) -> str | None:
        """The name of a bus that is named by its name or its ARN; None if there is none."""
        name = name.removeprefix(self._context.arn("events", "event-bus/"))
        return name if name in self._buses() else None

    def _matching(self, event: Event, bus: str) -> list[tuple[str, Event]]:
        """(ARN of the rule, its target) of every target of the bus's rules that match and are enabled."""
        return [
            (rule.arn, target)
            for rule in list(self._buses()[bus].rules.values())
            # The pattern of a rule that has a schedule only is empty in moto, and fits every event.
            if rule.state == "ENABLED" and rule.event_pattern.get_pattern() and rule.event_pattern.matches_event(event)
            for target in rule.targets
        ]

    # -------------------------------------------------------------------------------------------------- schedules

    def _run(self) -> None:
        while not self._end.wait(INTERVAL_SECONDS):
            try:
                self.fire(datetime.now(UTC))
            except Exception:
                log.exception("rules with a schedule")

    def fire(self, at: datetime) -> None:
        """Deliver the events of schedules that are due; what was due while the machine slept is one event.

        https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-rule-schedule.html. A rate counts from the
        rule's creation, or from the end of its last pause.
        """
        rules = [rule for rule in list(self._buses()[DEFAULT_BUS].rules.values()) if rule.scheduled_expression]
        enabled = {rule.arn: rule for rule in rules if rule.state == "ENABLED"}
        self._planned = {arn: planned for arn, planned in self._planned.items() if arn in enabled}
        for arn, rule in enabled.items():
            planned = self._planned.get(arn)
            if planned is None or planned.expression != rule.scheduled_expression:
                self._planned[arn] = _Planned.since_now(rule.scheduled_expression, at)
            elif planned.due is not None and planned.due <= at:
                event = self._event("aws.events", "Scheduled Event", [arn], {})
                for target in list(rule.targets):
                    self._pool.submit(functools.partial(self._send, arn, target, event), threads.nothing_depends)
                planned.advance(at)

    def _send(self, rule: str, target: Event, event: Event) -> None:
        arn = target["Arn"]
        body = event_inputs.payload(target, event, rule)
        try:
            self._check_permission(rule, arn)
            self._functions.invoke_later(arn, body.encode())
        except ServiceError as error:
            log.warning("%s: %s", rule, error)
            if queue := target.get("DeadLetterConfig", {}).get("Arn"):
                # There is no retry for a missing target, nor without permission.
                missing = error.code == "ResourceNotFoundException"
                attributes = {
                    "RULE_ARN": rule,
                    "TARGET_ARN": arn,
                    "ERROR_CODE": "NO_RESOURCE" if missing else "NO_PERMISSIONS",
                    "ERROR_MESSAGE": error.message,
                    "RETRY_ATTEMPTS": "0",
                }
                if self._identity.allows_by_resource("events", "sqs:SendMessage", queue, rule):
                    send_dead_letter(self._context.client("sqs"), queue, body, attributes)
                else:
                    log.error("%s: the queue's policy lets EventBridge send nothing: the event is lost", queue)

    def _check_permission(self, rule: str, function: str) -> None:
        """Refuse a function whose policy does not let EventBridge call it for the rule. Raises ServiceError.

        https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html
        """
        self._functions.check(function)
        if not self._identity.allows_by_resource("events", "lambda:InvokeFunction", function, rule):
            raise ServiceError("AccessDeniedException", f"{function}: its policy does not allow events.amazonaws.com")


def timestamp(seconds: float) -> str:
    """A time of an event, by seconds since the epoch: in UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)
