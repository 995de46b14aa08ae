"""STS: roles are assumed by their trust policies, for as long as they permit.

https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

from pipeline.local.context import Request, ServiceError
from pipeline.local.identity import caller as callers
from pipeline.local.identity.identity import Identity
from pipeline.local.identity.policies import PolicyError, message, statements

DEFAULT_SECONDS = 3600
# A session of a role that a session has assumed: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html
CHAINED_SECONDS = 3600


class Sts:
    """AssumeRole and GetCallerIdentity. There are no identity providers, so no AssumeRoleWithWebIdentity."""

    def __init__(self, identity: Identity, account_id: str) -> None:
        self._identity = identity
        self._account_id = account_id

    def operations(self) -> dict[str, Callable[[Request], Request]]:
        """Handlers by operation."""
        return {"AssumeRole": self._assume_role, "GetCallerIdentity": self._caller_identity}

    def _caller_identity(self, request: Request) -> Request:  # noqa: ARG002
        caller = callers.current()
        arn = caller.principal.arn
        user = f"{_role_id(caller.role)}:{arn.rsplit('/', 1)[-1]}" if caller.role else self._account_id
        return {"UserId": user, "Account": self._account_id, "Arn": arn}

    def _assume_role(self, request: Request) -> Request:
        caller, role = callers.current(), request["RoleArn"]
        if caller.is_root:
            raise ServiceError("AccessDenied", "Roles may not be assumed by root accounts.", 403)
        self._check_members(request)
        policies = self._identity.authorizer.role(role)
        decision, question = self._identity.authorizer.may_assume(caller, role)
        # A role that does not exist and a role that does not trust the caller get the same answer.
        if policies is None or not decision.allowed:
            raise ServiceError("AccessDenied", message(question, decision), 403)
        seconds = request.get("DurationSeconds", DEFAULT_SECONDS)
        if caller.role and seconds > CHAINED_SECONDS:
            text = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
            raise ServiceError("ValidationError", text)
        if seconds > policies.maximum_seconds:
            text = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
            raise ServiceError("ValidationError", text)
        issued = self._identity.sessions.issue(role, request["RoleSessionName"], seconds, request.get("Policy", ""))
        name = request["RoleSessionName"]
        return {
            "Credentials": {
                "AccessKeyId": issued.access_key,
                "SecretAccessKey": issued.secret_key,
                "SessionToken": issued.token,
                "Expiration": issued.session.expires,
            },
            "AssumedRoleUser": {"AssumedRoleId": f"{_role_id(role)}:{name}", "Arn": issued.session.arn},
        }

    def _check_members(self, request: Request) -> None:
        for name in ("PolicyArns", "Tags", "TransitiveTagKeys", "SerialNumber", "TokenCode", "SourceIdentity"):
            if request.get(name):
                raise ServiceError("ValidationError", f"The local cloud's AssumeRole has no {name}.")
        if policy := request.get("Policy"):
            try:
                statements({"session": json.loads(policy)})
            except (PolicyError, ValueError, KeyError, TypeError) as error:
                raise ServiceError("MalformedPolicyDocument", f"The session policy is malformed: {error}") from None


def _role_id(role_arn: str) -> str:
    """An id in the form of IAM's, which is the same for the same role."""
    return f"AROA{hashlib.sha256(role_arn.encode()).hexdigest()[:17].upper()}"
