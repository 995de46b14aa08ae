"""The account that is asked: its clients, who asks, and what its answers mean to a check."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pipeline.aws import errors as aws_errors
from pipeline.clients import looking_client
from pipeline.operations.preflight.results import Finding, failed, not_checked
from pipeline.settings import Settings


@dataclass(frozen=True)
class Account:
    """The settings' account, as `caller` (an ARN) sees it."""

    settings: Settings
    caller: str = ""
    _clients: dict[str, Any] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def is_local(self) -> bool:
        """Whether it is the local cloud, which has neither quotas nor policies."""
        return self.settings.account.target == "local"

    def client(self, service: str) -> Any:
        """The client of a service, made once. Many threads may ask."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = looking_client(self.settings, service)
            return self._clients[service]


@contextmanager
def explaining(findings: list[Finding]) -> Iterator[None]:
    """An answer of AWS's that ends a look becomes a finding of its own."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except (BotoCoreError, ClientError, ResponseParserError) as error:
        findings.append(unanswered(error))


def unanswered(error: Exception) -> Finding:
    """Why a check does not know: not allowed, not reached. Credentials that are none any more are a failure."""
    if aws_errors.has_code(error, aws_errors.DENIED):
        return not_checked(f"these credentials may not {aws_errors.denied_action(error)}")
    if aws_errors.has_code(error, aws_errors.EXPIRED):
        return failed(aws_errors.explained(error))
    return not_checked(aws_errors.explained(error))
