"""The handlers of the two functions: one deploys, the other rolls back."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

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
    record = _recorder(context)
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
    record = _recorder(context)
    decision = roll_back(aws, settings, read_rollback(event), record)
    record(decision)
    return decision.as_output()


def _clock(context: Any) -> Callable[[], float]:
    """The seconds that are left of the function's time; without end outside Lambda."""
    left = getattr(context, "get_remaining_time_in_millis", None)
    return (lambda: left() / 1000) if left else lambda: math.inf


def _recorder(context: Any) -> Callable[[Decision], None]:
    def record(decision: Decision) -> None:
        print(json.dumps({"request_id": getattr(context, "aws_request_id", ""), **decision.as_output()}), flush=True)

    return record
