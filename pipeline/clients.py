"""boto3 clients: endpoint and credentials come from the environment, the region from the settings."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

_CREATION = threading.Lock()
# The clients so far, by their arguments, while they are shared.
_clients: dict[tuple[Any, ...], Any] = {}
_sharing = threading.Event()


def verify_account(settings: Settings) -> None:
    """Refuse credentials of another account than the settings', before anything is written.

    Raises PipelineError.
    """
    account = client(settings, "sts").get_caller_identity()["Account"]
    if account != settings.account.id:
        raise PipelineError(
            f"the credentials are of account {account}, the settings name {settings.account.id};"
            " take another AWS_PROFILE, or another --profile"
        )


@contextmanager
def shared() -> Iterator[None]:
    """Create each client once, and share it: for a process that serves many requests and keeps its environment.

    Creating a client takes longer than many a request.
    """
    _sharing.set()
    try:
        yield
    finally:
        _sharing.clear()
        _clients.clear()


def client(settings: Settings, service: str) -> Any:
    """A boto3 client in the settings' region that retries throttling and lost connections."""
    return _client(settings, service, total_max_attempts=5, connect_timeout=10)


def probing_client(settings: Settings, service: str) -> Any:
    """A client for checks: without a network it fails within seconds."""
    return _client(settings, service, total_max_attempts=3, connect_timeout=3, read_timeout=15)


def patient_client(settings: Settings, service: str, seconds: int) -> Any:
    """A client that waits `seconds` for an answer and sends nothing twice, for calls that change something."""
    return _client(settings, service, total_max_attempts=1, connect_timeout=10, read_timeout=seconds)


def _client(settings: Settings, service: str, *, total_max_attempts: int, **timeouts: int) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(
        region_name=settings.account.region,
        retries={"mode": "standard", "total_max_attempts": total_max_attempts},
        max_pool_connections=32,
        **timeouts,
    )
    key = (service, settings.account.region, total_max_attempts, tuple(timeouts.items()))
    # Threads may share a client, but not boto3's session, which creates it.
    with _CREATION:
        if not _sharing.is_set():
            return boto3.client(service, config=config)
        if key not in _clients:
            _clients[key] = boto3.client(service, config=config)
        return _clients[key]
