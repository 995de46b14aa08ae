"""An S3 door with its object server, and the people who come to it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from pipeline.local.identity import documents
from pipeline.local.identity.documents import RolePolicies
from pipeline.local.identity.sessions import Credentials, Sessions
from pipeline.local.machine.objects import ObjectStore
from pipeline.local.s3.judge import Settings
from pipeline.local.s3.process import Door
from tests.conftest import free_port

ACCOUNT = "123456789012"
KEY, SECRET = "ROOTKEY0000000000001", "root-secret"
REGION = "us-east-1"


def allow(*actions: str, on: str | list[str] = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": on, **more}


def deny(*actions: str, on: str | list[str] = "*", **more: Any) -> dict[str, Any]:
    return {**allow(*actions, on=on, **more), "Effect": "Deny"}


def document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def role_arn(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


@dataclass
class Gate:
    """A running door, and the roles of its account."""

    directory: Path
    store: ObjectStore
    door: Door
    sessions: Sessions
    roles: dict[str, RolePolicies] = field(default_factory=dict)

    def role(self, *statements: dict[str, Any], boundary: dict[str, Any] | None = None) -> str:
        """A new role with these statements; its ARN."""
        arn = role_arn(f"role-{uuid.uuid4().hex[:12]}")
        self.change(arn, *statements, boundary=boundary)
        return arn

    def change(self, arn: str, *statements: dict[str, Any], boundary: dict[str, Any] | None = None) -> None:
        identity = {"policy": document(*statements)} if statements else {}
        self.roles[arn] = RolePolicies(identity=identity, boundary=boundary)
        documents.write(self.directory, self.roles)

    def credentials(self, *statements: dict[str, Any], seconds: float = 3600, policy: str = "") -> Credentials:
        """A session of a new role with these statements."""
        return self.sessions.issue(self.role(*statements), "session", seconds, policy)

    def client(self, credentials: Credentials | None = None, *, region: str = REGION, **config: Any) -> Any:
        """An S3 client of a session; without one, the root user's. Nothing is tried again."""
        keys = (KEY, SECRET, None)
        if credentials is not None:
            keys = (credentials.access_key, credentials.secret_key, credentials.token)
        names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        return boto3.Session(region_name=region, **dict(zip(names, keys, strict=True))).client(
            "s3",
            endpoint_url=self.door.endpoint,
            config=Config(**{"retries": {"total_max_attempts": 1}, "read_timeout": 60, **config}),
        )

    def as_role(self, *statements: dict[str, Any], **options: Any) -> Any:
        """A client of a session of a new role with these statements."""
        return self.client(self.credentials(*statements), **options)

    def bucket(self, **parameters: Any) -> str:
        name = f"test-{uuid.uuid4().hex[:20]}"
        self.client().create_bucket(Bucket=name, **parameters)
        return name


def running_gate(directory: Path, **options: Any) -> Iterator[Gate]:
    sessions = Sessions(directory)
    store = ObjectStore(directory / "objects", 0, KEY, SECRET, sessions=sessions, account_id=ACCOUNT)
    store.start()
    try:
        settings = Settings(directory, REGION, ACCOUNT, KEY, SECRET, **options)
        door = Door(settings, free_port(), store.port)
        door.start()
        try:
            yield Gate(directory, store, door, sessions)
        finally:
            door.stop()
    finally:
        store.stop()


@pytest.fixture(scope="session")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    yield from running_gate(tmp_path_factory.mktemp("gate"))
