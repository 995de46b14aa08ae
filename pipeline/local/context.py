"""The parts that every service of the local cloud uses: its account, clients of it, errors and dead-letter queues."""

from __future__ import annotations

import logging
import os
import secrets
import string
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.local.environment import inherited
from pipeline.local.store import Store
from steps.contracts.full_disk import explained, is_disk_full

log = logging.getLogger(__name__)

Request = dict[str, Any]
"""Members of a request or an answer, by the names of the service's model."""
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_ALPHABET = string.ascii_lowercase + string.digits


class ServiceError(Exception):
    """An error of the service's own model, as boto3 raises it: `code` is the error's name there."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True)
class Context:
    """The account of this cloud. `environment` has the variables that point an AWS client at it."""

    directory: Path
    account_id: str
    region: str
    store: Store
    environment: dict[str, str] = field(repr=False)
    credential_seconds: float = 3600.0
    """Life of the credentials of jobs and endpoints."""

    def arn(self, service: str, resource: str) -> str:
        """ARN of one of the account's resources."""
        return f"arn:aws:{service}:{self.region}:{self.account_id}:{resource}"

    def reason(self, error: BaseException) -> str:
        """An unexpected error as one line, for a FailureReason; that of a full disk names the folder."""
        if is_disk_full(error):
            return explained(error, (self.directory, Path(tempfile.gettempdir())))
        return f"{type(error).__name__}: {error}"

    def client(self, service: str) -> Any:
        """A boto3 client of this cloud."""
        return self.client_of(self.session(), service)

    def session(self) -> Any:
        """A boto3 session with this cloud's credentials. Threads must not share a session."""
        import boto3

        return boto3.Session(
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            region_name=self.region,
        )

    def client_of(self, session: Any, service: str) -> Any:
        """A client of a session; a session costs more than a client."""
        endpoint = self.environment["AWS_ENDPOINT_URL_S3" if service == "s3" else "AWS_ENDPOINT_URL"]
        return session.client(service, endpoint_url=endpoint)

    def child_environment(self, commands: Path) -> dict[str, str]:
        """The environment of a child process: this cloud's addresses, and the few variables that every process needs.

        `commands` is the folder of its own Python (`pipeline.local.machine.layer`).
        It has no credentials: those of the child's role are added to it.
        """
        return {
            **inherited(),
            "PATH": os.pathsep.join(
                (str(commands), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))
            ),
            "PYTHONUNBUFFERED": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
            # As the images set it: without it ONNX Runtime reports its use to Microsoft.
            "ORT_DISABLE_TELEMETRY": "1",
            # The child has its role's credentials, and not those of the person who started the local cloud.
            **{name: value for name, value in self.environment.items() if name not in _KEYS},
        }


def random_id(length: int = 12) -> str:
    """Lower-case letters and digits, as SageMaker's own ids are."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def now() -> float:
    """The time as in the JSON protocol: seconds since the epoch, to the millisecond."""
    return round(time.time(), 3)


def send_dead_letter(sqs: Any, queue_arn: str, body: str, attributes: Mapping[str, str]) -> None:
    """Send a message with attributes of type String to an SQS queue, which is moto's, by a client of SQS.

    If the queue refuses it, the message is lost and the error is logged. AWS loses it as well, and counts it in a
    metric.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    typed = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items() if value}
    try:
        # Services address a queue by its ARN: GetQueueUrl is no call of theirs.
        account, name = queue_arn.split(":")[4:6]
        url = f"{sqs.meta.endpoint_url}/{account}/{name}"
        sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=typed)
    except (ClientError, BotoCoreError) as error:
        log.error("dead-letter queue %s: the message is lost: %s: %s", queue_arn, error, body)
