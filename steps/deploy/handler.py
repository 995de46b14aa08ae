"""The handlers of the two functions: one deploys, the other rolls back."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from steps.contracts import names
from steps.deploy.conclusion import conclude, settle
from steps.deploy.deployment import Decision, deploy, roll_back
from steps.deploy.events import read_endpoint_change, read_request, read_rollback
from steps.deploy.settings import Clients, Settings


def handle(event: Any, context: Any) -> dict[str, str]:
    """Deploy what the event makes due, or evaluate what was deployed. Returns the last decision as flat strings.

    Each decision is a line of the log.
    """
    settings = Settings.from_environment()
    aws = Clients.connect(settings.mode)
    record = _recorder(aws, context)
    if change := read_endpoint_change(event):
        return conclude(aws, settings, change, record, _clock(context)).as_output()
    request = read_request(event)
    settle(aws, settings, record, _clock(context))
    decision = deploy(aws, settings, request)
    record(decision)
    return decision.as_output()


def handle_rollback(event: Any, context: Any) -> dict[str, str]:
    """Return to an earlier approved version at once, and reject the later ones. Returns the decision as flat strings.

    Each decision is a line of the log.
    """
    settings = Settings.from_environment()
    aws = Clients.connect(settings.mode)
    record = _recorder(aws, context)
    decision = roll_back(aws, settings, read_rollback(event), record)
    record(decision)
    return decision.as_output()


def _clock(context: Any) -> Callable[[], float]:
    """The seconds that are left of the function's time; without end outside Lambda."""
    left = getattr(context, "get_remaining_time_in_millis", None)
    return (lambda: left() / 1000) if left else lambda: math.inf


def _recorder(aws: Clients, context: Any) -> Callable[[Decision], None]:
    """Writes each decision as a line of the log, and sends the event of one that calls for an alert."""

    def record(decision: Decision) -> None:
        entry = {"request_id": getattr(context, "aws_request_id", ""), **decision.as_output()}
        print(json.dumps(entry), flush=True)
        if decision.alert:
            _send(aws.events, {**entry, "alert": decision.alert})

    return record


def _send(events: Any, entry: dict[str, str]) -> None:
    """Send a decision to EventBridge; the alert function makes a message of it (`steps.alert`).

    A failure is a line of the log, and no more: the decision is taken, and what follows from it must not wait.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    event = {"Source": names.EVENT_SOURCE, "DetailType": names.DEPLOYMENT_EVENT, "Detail": json.dumps(entry)}
    try:
        answer = events.put_events(Entries=[event])
        problems = [f"{item['ErrorCode']}: {item['ErrorMessage']}" for item in answer["Entries"] if "ErrorCode" in item]
    except (ClientError, BotoCoreError) as error:
        problems = [str(error)]
    for problem in problems:
        line = {"request_id": entry["request_id"], "error": f"EventBridge has not taken the decision: {problem}"}
        print(json.dumps(line), flush=True)
