"""The global condition keys of a request.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
"""

from __future__ import annotations

import functools
import time
from datetime import UTC, datetime
from typing import Any

from pipeline.local.identity.policies import Principal
from pipeline.local.identity.requirements import Account


def global_context(principal: Principal, called_via: tuple[str, ...], account: Account, region: str) -> dict[str, Any]:
    """Their values by the keys in lower case. `region` is that of the endpoint (aws:RequestedRegion)."""
    now = int(time.time())
    context: dict[str, Any] = {
        # On the loopback interface nothing leaves the machine, so it stands for TLS: policies that demand it would
        # otherwise refuse everything, and leaving their statements out would leave them untested.
        "aws:securetransport": "true",
        "aws:requestedregion": region,
        "aws:sourceip": "127.0.0.1",
        "aws:currenttime": _iso(now),
        "aws:epochtime": str(now),
        "aws:viaawsservice": "true" if called_via else "false",
        "aws:principalisawsservice": "true" if principal.service else "false",
    }
    if not principal.service:
        context["aws:principalarn"] = principal.role or principal.arn
        context["aws:principalaccount"] = account.id
        context["aws:principaltype"] = "AssumedRole" if principal.role else "Account"
    if called_via:
        context["aws:calledvia"] = list(called_via)
    return context


@functools.lru_cache(maxsize=2)
def _iso(second: int) -> str:
    """Many requests of one second have the same text."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
