"""Whether a caller may do what a request needs, by the policies of this moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.local.identity import documents
from pipeline.local.identity.global_keys import global_context
from pipeline.local.identity.policies import Decision, Request, Statement, decide, message, statements
from pipeline.local.identity.requirements import Account
from pipeline.local.s3.buckets import Buckets, WatchedFile
from pipeline.local.s3.callers import Caller
from pipeline.local.s3.calls import Call
from pipeline.local.s3.signatures import Signature

# The root user may always read, replace and remove a bucket's policy:
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketPolicy.html
_OPEN_TO_ROOT = frozenset(("s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"))


class _Role:
    """A role's prepared statements; those about an action are found once."""

    def __init__(self, policies: documents.RolePolicies) -> None:
        self._identity = statements(policies.identity)
        self._boundary = None if policies.boundary is None else statements({"boundary": policies.boundary})
        self._by_action: dict[str, tuple[list[Statement], list[Statement] | None]] = {}

    def about(self, action: str) -> tuple[list[Statement], list[Statement] | None]:
        """The statements of the identity policies and of the boundary about an action."""
        result = self._by_action.get(action)
        if result is None:
            boundary = None if self._boundary is None else _about(self._boundary, action)
            result = self._by_action[action] = (_about(self._identity, action), boundary)
        return result


_NOBODY = _Role(documents.RolePolicies())


def _about(prepared: list[Statement], action: str) -> list[Statement]:
    return [statement for statement in prepared if statement.matches_action(action)]


class Permissions:
    """Decides by the roles' policies in the cloud's folder, the buckets' policies and the session's."""

    def __init__(self, directory: Path, buckets: Buckets) -> None:
        self._directory = directory
        self._buckets = buckets
        self._file = WatchedFile(directory / documents.FILE)
        self._documents: dict[str, documents.RolePolicies] = {}
        self._roles: dict[str, _Role] = {}

    def decide(self, request: Request, caller: Caller) -> Decision:
        """The decision about a request of a caller. Raises PolicyError for a role's policy that IAM would not store."""
        resource = self._buckets.statements(_bucket_of(request.resource))
        if caller.principal.is_root:
            if request.action in _OPEN_TO_ROOT:
                return Decision(True, "")
            return decide(request, (), resource)
        identity, boundary = self._role(caller.principal.role).about(request.action)
        if not resource and boundary is None and caller.session is None:
            # The common case, in a sixth of the time. Objects and caller are in one account.
            applying = [statement for statement in identity if statement.applies(request)]
            if applying and all(statement.allows for statement in applying):
                return Decision(True, "", tuple(statement.name for statement in applying))
        return decide(request, identity, resource, boundary, caller.session)

    def _role(self, arn: str) -> _Role:
        if self._file.changed():
            self._documents = documents.read(self._directory)
            self._roles.clear()
        role = self._roles.get(arn)
        if role is None:
            policies = self._documents.get(arn)
            if policies is None:
                return _NOBODY
            role = self._roles[arn] = _Role(policies)
        return role


def context_of(call: Call, caller: Caller, signature: Signature, region: str, account_id: str) -> dict[str, Any]:
    """Values of the global condition keys, and of S3's keys about the signature, by the keys in lower case.

    https://docs.aws.amazon.com/AmazonS3/latest/API/bucket-policy-s3-sigv4-conditions.html
    """
    context = {
        **global_context(caller.principal, caller.called_via, Account(account_id, region), region),
        "aws:resourceaccount": account_id,
        "s3:resourceaccount": account_id,
        "s3:authtype": "REST-QUERY-STRING" if signature.presigned else "REST-HEADER",
        "s3:signatureversion": signature.version,
    }
    if agent := call.headers.get("user-agent"):
        context["aws:useragent"] = agent
    if payload := call.headers.get("x-amz-content-sha256"):
        context["s3:x-amz-content-sha256"] = payload
    return context


def refusal(request: Request, decision: Decision) -> str:
    """S3's words about a refusal: AWS's, with the resource in quotes.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/troubleshoot-403-errors.html
    Recorded: https://github.com/schubergphilis/terraform-aws-mcaf-securityhub-findings-manager/pull/64
    """
    named = f" on resource: {request.resource} "
    return message(request, decision).replace(named, f' on resource: "{request.resource}" ', 1)


def _bucket_of(arn: str) -> str:
    return arn.rpartition(":")[2].partition("/")[0]
