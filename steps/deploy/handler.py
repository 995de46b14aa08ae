"""The Lambda handler."""

from __future__ import annotations

import json
from typing import Any

from steps.deploy.clients import Clients
from steps.deploy.conclusion import conclude, settle
from steps.deploy.deployment import Decision, deploy
from steps.deploy.events import endpoint_change_of, order_of
from steps.deploy.settings import Settings


def handle(event: Any, context: Any) -> dict[str, str]:
    """Deploy what the event makes due, or judge what was deployed; gives the last decision as flat strings.

    Each decision is a line of the log.
    """
    aws, settings = Clients.connect(), Settings.from_environment()

    def record(decision: Decision) -> None:
        print(json.dumps({"request_id": getattr(context, "aws_request_id", ""), **decision.as_output()}), flush=True)

    if change := endpoint_change_of(event):
        return conclude(aws, settings, change, record).as_output()
    order = order_of(event)
    if not order.at_once:
        settle(aws, settings, record)
    decision = deploy(aws, settings, order)
    record(decision)
    return decision.as_output()
