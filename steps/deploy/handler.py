"""The Lambda handler."""

from __future__ import annotations

import json
from typing import Any

from steps.deploy.conclusion import conclude, settle
from steps.deploy.deployment import Decision, deploy
from steps.deploy.events import read_endpoint_change, read_request
from steps.deploy.settings import Clients, Settings


def handle(event: Any, context: Any) -> dict[str, str]:
    """Deploy what the event makes due, or evaluate what was deployed. Returns the last decision as flat strings.

    Each decision is a line of the log.
    """
    aws, settings = Clients.connect(), Settings.from_environment()

    def record(decision: Decision) -> None:
        print(json.dumps({"request_id": getattr(context, "aws_request_id", ""), **decision.as_output()}), flush=True)

    if change := read_endpoint_change(event):
        return conclude(aws, settings, change, record).as_output()
    request = read_request(event)
    if not request.at_once:
        settle(aws, settings, record)
    decision = deploy(aws, settings, request)
    record(decision)
    return decision.as_output()
