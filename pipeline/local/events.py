"""EventBridge's delivery: events that match a rule's pattern reach the rule's Lambda targets.

Rules and targets are in moto; an event is matched with a rule's own pattern. Lambda accepts an event and retries by
itself, so that an event cannot be delivered only if its function is missing. It goes to the target's dead-letter queue:
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
"""

from __future__ import annotations

import functools
import json
import logging
import time
import uuid
from collections.abc import Callable
from typing import Any

from pipeline.local import threads
from pipeline.local.context import Context, ServiceError, send_dead_letter
from pipeline.local.identity.identity import Identity
from pipeline.local.machine.functions import Functions

log = logging.getLogger(__name__)

Event = dict[str, Any]


class Events:
    """The default event bus."""

    def __init__(self, context: Context, functions: Functions, identity: Identity) -> None:
        self._context = context
        self._identity = identity
        self._functions = functions
        self._pool = threads.Workers(4, "event")

    def operations(self) -> dict[str, Callable[[Event], Event]]:
        """PutEvents; moto has EventBridge's other operations."""
        return {"PutEvents": self._put}

    def emit(self, detail_type: str, resources: list[str], detail: Event) -> None:
        """Deliver one of SageMaker's own events."""
        self._deliver("aws.sagemaker", detail_type, resources, detail)

    def close(self) -> None:
        """Wait for deliveries that run."""
        self._pool.close()

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
            event = self._deliver(entry["Source"], entry["DetailType"], entry.get("Resources", []), detail)
            entries.append({"EventId": event["id"]})
        return {"FailedEntryCount": sum("ErrorCode" in entry for entry in entries), "Entries": entries}

    def _deliver(self, source: str, detail_type: str, resources: list[str], detail: Event) -> Event:
        event = {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": detail_type,
            "source": source,
            "account": self._context.account_id,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "region": self._context.region,
            "resources": resources,
            "detail": detail,
        }
        for rule, target in self._matching(event):
            self._pool.submit(functools.partial(self._send, rule, target, event), threads.nothing_depends)
        return event

    def _matching(self, event: Event) -> list[tuple[str, Event]]:
        """(ARN of the rule, its target) of every target of the default bus's rules that match and are enabled."""
        from moto.events.models import events_backends

        bus = events_backends[self._context.account_id][self._context.region].event_buses["default"]
        return [
            (rule.arn, target)
            for rule in bus.rules.values()
            if rule.state == "ENABLED" and rule.event_pattern and rule.event_pattern.matches_event(event)
            for target in rule.targets
        ]

    def _send(self, rule: str, target: Event, event: Event) -> None:
        arn = target["Arn"]
        if ":function:" not in arn:
            log.warning("%s: the local cloud delivers to Lambda only, not to %s", rule, arn)
            return
        body = json.dumps(event)
        try:
            self._check_permission(rule, arn)
            self._functions.invoke_later(arn.rsplit(":", 1)[-1], body.encode())
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
        self._functions.check(function.rsplit(":", 1)[-1])
        if not self._identity.allows_by_resource("events", "lambda:InvokeFunction", function, rule):
            raise ServiceError("AccessDeniedException", f"{function}: its policy does not allow events.amazonaws.com")
