"""Who acts: the account's root user, a role's session, or an AWS service by itself."""

from __future__ import annotations

import contextlib
import contextvars
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.local.identity.policies import Principal
from pipeline.local.identity.sessions import Session


@dataclass(frozen=True)
class Caller:
    """A principal, and what its credentials limit.

    `called_via`: the services, such as athena.amazonaws.com, that forward the caller's request (aws:CalledVia).
    """

    principal: Principal
    session_policy: str = ""
    called_via: tuple[str, ...] = ()

    @property
    def is_root(self) -> bool:
        """Whether it is the account's root user, whom no identity policy limits."""
        return self.principal.arn.endswith(":root")

    @property
    def role(self) -> str:
        """ARN of the session's role; empty for others."""
        return self.principal.role

    def session_document(self) -> dict[str, Any] | None:
        """The session policy."""
        return json.loads(self.session_policy) if self.session_policy else None


def root(account_id: str) -> Caller:
    """The account's root user: the local cloud's own key."""
    return Caller(Principal(f"arn:aws:iam::{account_id}:root"))


def of_session(session: Session) -> Caller:
    """The caller with a session's credentials."""
    return Caller(Principal(session.arn, session.role_arn), session.policy, session.called_via)


_CURRENT: contextvars.ContextVar[Caller] = contextvars.ContextVar("caller")


@contextlib.contextmanager
def acting(caller: Caller) -> Iterator[None]:
    """Make `caller` the current caller while a request is answered."""
    token = _CURRENT.set(caller)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def current(default: Caller | None = None) -> Caller:
    """The caller of the request that is being answered in this thread; `default` if none is."""
    return _CURRENT.get() if default is None else _CURRENT.get(default)
