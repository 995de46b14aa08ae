"""The Lambda handler."""

from __future__ import annotations

import json
from typing import Any

from steps.deploy.deployment import deploy
from steps.deploy.events import version_of
from steps.deploy.settings import Settings


def handle(event: Any, context: Any) -> dict[str, str]:
    """Deploy the version that the event is about; gives the decision as flat strings and logs it as one line."""
    import boto3

    decision = deploy(boto3.client("sagemaker"), Settings.from_environment(), version_of(event))
    output = decision.as_output()
    print(json.dumps({"request_id": getattr(context, "aws_request_id", ""), **output}))
    return output
