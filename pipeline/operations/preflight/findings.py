"""The account under check and the findings of checks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from pipeline.aws import errors as aws_errors
from pipeline.clients import probing_client
from pipeline.settings import Settings

Status = Literal["ok", "warning", "failed", "not checked"]


@dataclass(frozen=True)
class Finding:
    """A finding of a check; `detail` of a failure or a warning names the remedy."""

    status: Status
    detail: str


@dataclass(frozen=True)
class Result:
    """A finding with the name of its check."""

    check: str
    status: Status
    detail: str


# What was checked is in order.
ok = partial(Finding, "ok")
# It works, but at a cost or only for a time.
warning = partial(Finding, "warning")
# It would make a run, a deployment or a schedule fail.
failed = partial(Finding, "failed")
# The check could not run; the detail is the reason.
not_checked = partial(Finding, "not checked")


@dataclass(frozen=True)
class Account:
    """The settings' account as seen by `caller` (an ARN)."""

    settings: Settings
    caller: str = ""
    _clients: dict[str, Any] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def is_local(self) -> bool:
        """Whether it is the local cloud, which has no quotas."""
        return self.settings.account.target == "local"

    def client(self, service: str) -> Any:
        """The client of a service, created once; safe to call from several threads."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = probing_client(self.settings, service)
            return self._clients[service]


def explained(look: Callable[..., Finding | Iterable[Finding]], *arguments: Any) -> Iterator[Finding]:
    """The findings of `look`, one or several; an error of AWS that ends them becomes a finding itself."""
    try:
        findings = look(*arguments)
        yield from [findings] if isinstance(findings, Finding) else findings
    except (BotoCoreError, ClientError, ResponseParserError) as error:
        if aws_errors.has_code(error, aws_errors.DENIED):
            yield not_checked(f"these credentials may not {aws_errors.denied_action(error)}")
        else:
            is_expired = aws_errors.has_code(error, aws_errors.EXPIRED)
            yield (failed if is_expired else not_checked)(aws_errors.explained(error))
