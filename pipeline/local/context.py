"""What every service of the local cloud is built from: its account, its folder, its store, and S3."""

from __future__ import annotations

import os
import secrets
import string
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.local.store import Store

_ALPHABET = string.ascii_lowercase + string.digits


@dataclass(frozen=True)
class Context:
    """The account that this cloud is. `environment` is what points an AWS client at it."""

    directory: Path
    account_id: str
    region: str
    store: Store
    environment: dict[str, str] = field(repr=False)

    def arn(self, service: str, resource: str) -> str:
        """ARN of one of the account's resources."""
        return f"arn:aws:{service}:{self.region}:{self.account_id}:{resource}"

    def client(self, service: str) -> Any:
        """A boto3 client of this cloud."""
        return self.client_of(self.session(), service)

    def session(self) -> Any:
        """A boto3 session with this cloud's credentials: a thread's own, as sessions are not to be shared."""
        import boto3

        return boto3.Session(
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            region_name=self.region,
        )

    def client_of(self, session: Any, service: str) -> Any:
        """A client by one of those sessions, which cost more than a client."""
        endpoint = self.environment["AWS_ENDPOINT_URL_S3" if service == "s3" else "AWS_ENDPOINT_URL"]
        return session.client(service, endpoint_url=endpoint)

    def child_environment(self) -> dict[str, str]:
        """The environment of a child process: nothing of the user's but what a process needs to run."""
        kept = {name: os.environ[name] for name in ("HOME", "LANG", "LC_ALL", "TMPDIR", "TZ") if name in os.environ}
        return {
            **kept,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "PYTHONUNBUFFERED": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
            # As the images set it: ONNX Runtime reports its use to Microsoft unless it is told not to.
            "ORT_DISABLE_TELEMETRY": "1",
            **self.environment,
        }


def random_id(length: int = 12) -> str:
    """Lower-case letters and digits, as SageMaker's own ids are."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def now() -> float:
    """The time as the JSON protocol carries it: seconds since the epoch, to the millisecond."""
    return round(time.time(), 3)
