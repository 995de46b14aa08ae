"""The Lambda handler."""

from __future__ import annotations

import json
from typing import Any

from steps.deploy.deployment import deploy, deploy_pending
from steps.deploy.events import endpoint_change_of, version_of
from steps.deploy.settings import Settings


def handle(event: Any, context: Any) -> dict[str, str]:
    """Deploy what the event makes due; gives the decision as flat strings and logs it as one line."""
    import boto3

    sagemaker, settings = boto3.client("sagemaker"), Settings.from_environment()
    if change := endpoint_change_of(event):
        decision = deploy_pending(sagemaker, settings, change)
    else:
        decision = deploy(sagemaker, settings, version_of(event))
    output = decision.as_output()
    print(json.dumps({"request_id": getattr(context, "aws_request_id", ""), **output}))
    return output
