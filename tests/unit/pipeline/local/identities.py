"""An account whose roles trust every service and may do everything, for tests that are not about permissions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from pipeline.local.identity import caller as callers
from pipeline.local.identity.caller import Caller
from pipeline.local.identity.policies import Principal
from pipeline.local.identity.requirements import Account

ACCOUNT = Account("123456789012", "us-east-1")


class Permissive:
    """Stands for `identity.Identity`; `assumed` is what services assumed: (role, service, ARN of the source)."""

    def __init__(self, **clients: Any) -> None:
        self.root = callers.root(ACCOUNT.id)
        self.assumed: list[tuple[str, str, str]] = []
        self.authorizer = SimpleNamespace(account=ACCOUNT, require=lambda *_: None, allows=lambda *_: True)
        self._clients = clients

    def assume(self, role_arn: str, service: str, source_arn: str = "") -> Caller:
        self.assumed.append((role_arn, service, source_arn))
        return self.as_role(role_arn)

    def as_role(self, role_arn: str, name: str = "SageMaker") -> Caller:
        role = role_arn.rsplit("/", 1)[-1]
        return Caller(Principal(f"arn:aws:sts::{ACCOUNT.id}:assumed-role/{role}/{name}", role_arn))

    def client(self, caller: Caller, service: str) -> Any:
        return self._clients.get(service)

    def function_environment(self, role_arn: str, seconds: float) -> dict[str, str]:
        return {}

    def container_environment(self, role_arn: str) -> dict[str, str]:
        return {}

    def end_credentials(self, credentials: dict[str, str]) -> None:
        return None

    def allows_by_resource(self, *_: str) -> bool:
        return True
