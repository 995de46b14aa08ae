"""The services of a cloud without a server: handlers are called in this process, by the root user."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.local.context import Context
from pipeline.local.services import Services
from pipeline.local.store import Store
from tests.unit.pipeline.local.sagemaker.machine import machine

__all__ = ["machine"]

ACCOUNT = "123456789012"
ARN = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}"


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    store = Store(tmp_path / "s")
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    environment = {**keys, "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"}
    opened = Services(Context(tmp_path, ACCOUNT, "us-east-1", store, environment))
    yield opened
    opened.close()


def call(services: Services, operation: str, **request: Any) -> dict[str, Any]:
    """Answer a request as the server does: validated, decided, answered, validated."""
    return services.call("sagemaker", operation, request, services.identity.root)
