"""Decides requests by the account's policies as they are at this moment, in AWS's words.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html. Roles and policies are in
moto's IAM, which stores them and decides nothing.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.local.context import ServiceError
from pipeline.local.identity import documents
from pipeline.local.identity.caller import Caller
from pipeline.local.identity.documents import Document, RolePolicies
from pipeline.local.identity.global_keys import global_context
from pipeline.local.identity.journal import Journal
from pipeline.local.identity.policies import (
    Decision,
    Principal,
    Request,
    Statement,
    decide,
    lowered,
    message,
    statements,
)
from pipeline.local.identity.requirements import Account, Check, UnresolvedError, checks

# Protocols whose clients read `AccessDenied`; JSON services raise AccessDeniedException.
_QUERY = ("iam", "sts", "cloudformation", "sns", "ec2", "cloudwatch")
# REST services answer a refusal with 403, JSON services with 400: the services' models have the status of the error.
_REST = ("lambda", "scheduler", "sagemaker-runtime")
_SERVICE_SUFFIX = ".amazonaws.com"


class _Policies:
    """The policies of all roles at one moment, with their statements prepared when they are needed."""

    def __init__(self, roles: dict[str, RolePolicies]) -> None:
        self.roles = roles
        self._statements: dict[str, list[Statement]] = {}

    def identity(self, role: str) -> list[Statement]:
        """The statements of a role's identity policies."""
        if role not in self._statements:
            self._statements[role] = statements(self.roles[role].identity) if role in self.roles else []
        return self._statements[role]


class Authorizer:
    """The policies of the account, and decisions by them. With `audit` a refusal is recorded and not raised."""

    def __init__(self, directory: Path, account: Account, *, audit: bool = False) -> None:
        self.account = account
        self._directory = directory
        self._audit = audit
        self._lock = threading.Lock()
        self._policies: _Policies | None = None
        self._journal = Journal(directory / "decisions" / "api.jsonl")
        self._before = documents.read(directory)

    def changed(self) -> None:
        """Read the policies again: IAM has changed. The S3 door gets them too."""
        with self._lock:
            self._read()

    def _read(self) -> _Policies:
        """Replace the policies as a whole: what was prepared from older ones goes with them."""
        roles = _roles(self.account.id)
        self._policies = _Policies(roles)
        documents.write(self._directory, roles)
        return self._policies

    def _current(self) -> _Policies:
        with self._lock:
            return self._policies or self._read()

    def restore(self) -> None:
        """Create again the roles of the last start that no stack has created by now: moto keeps IAM in memory."""
        present = _roles(self.account.id)
        for arn, policies in self._before.items():
            if arn not in present:
                _create_role(self.account.id, arn, policies)
        self.changed()

    def role(self, arn: str) -> RolePolicies | None:
        """A role's policies, or None if there is no such role."""
        return self._current().roles.get(arn)

    def roles(self) -> dict[str, RolePolicies]:
        """The policies of all roles, by ARN."""
        return _roles(self.account.id)

    def authorize(self, caller: Caller, service: str, operation: str, request: Mapping[str, Any]) -> None:
        """Refuse a call that the caller's policies do not allow. Raises ServiceError."""
        try:
            needed = checks(service, operation, request, self.account)
        except UnresolvedError as error:
            message = f"The local cloud cannot decide about {service}:{operation}: {error}"
            raise ServiceError("UnknownOperationException", message) from None
        for check in needed:
            self.require(caller, check, service, operation)

    def require(self, caller: Caller, check: Check, service: str, operation: str) -> None:
        """Refuse a single action. Raises ServiceError."""
        decision, asked = self.decision(caller, check)
        if not caller.is_root or not decision.allowed:
            self._journal.record(asked, decision, service=service, operation=operation)
        if not decision.allowed and not self._audit:
            raise denied(service, message(asked, decision))

    def allows(self, caller: Caller, check: Check, service: str, operation: str) -> bool:
        """Whether an action is allowed, where AWS goes on without it."""
        try:
            self.require(caller, check, service, operation)
        except ServiceError:
            return False
        return True

    def decision(self, caller: Caller, check: Check) -> tuple[Decision, Request]:
        """The decision about an action, and the question that was decided."""
        context = {**self.global_context(caller), **lowered(check.context)}
        asked = Request(caller.principal, check.action, check.resource, context)
        resource = self._resource_statements(check)
        if not caller.role:
            # A service needs a resource's policy; the root user needs none, and only such a policy can limit it.
            return decide(asked, (), resource), asked
        return self._decide(caller, asked, resource), asked

    def _decide(self, caller: Caller, asked: Request, resource: list[Statement], *, trust: bool = False) -> Decision:
        current = self._current()
        policies = current.roles.get(caller.role) or RolePolicies()
        boundary = None if policies.boundary is None else statements({"boundary": policies.boundary})
        document = caller.session_document()
        session = None if document is None else statements({"session": document})
        identity = current.identity(caller.role)
        return decide(asked, identity, resource, boundary, session, trust=trust)

    def may_assume(self, caller: Caller, role_arn: str) -> tuple[Decision, Request]:
        """Whether a role's session may assume a role: the trust policy counts, and the caller's own policies."""
        asked = Request(caller.principal, "sts:AssumeRole", role_arn, self.global_context(caller))
        decision = self._decide(caller, asked, self._trust(role_arn), trust=True)
        self._journal.record(asked, decision, service="sts", operation="AssumeRole")
        return decision, asked

    def trusts(self, role_arn: str, principal: Principal, context: Mapping[str, str]) -> bool:
        """Whether a role's trust policy lets a principal assume the role."""
        asked = Request(principal, "sts:AssumeRole", role_arn, lowered(context))
        decision = decide(asked, (), self._trust(role_arn), trust=True)
        self._journal.record(asked, decision, service="sts", operation="AssumeRole")
        return decision.allowed

    def _trust(self, role_arn: str) -> list[Statement]:
        """The trust policy of a role; nothing if there is no such role."""
        policies = self.role(role_arn)
        return [] if policies is None or policies.trust is None else statements({"trust": policies.trust})

    def global_context(self, caller: Caller) -> dict[str, Any]:
        """The global condition keys of a caller's request."""
        return global_context(caller.principal, caller.called_via, self.account, self.account.region)

    def _resource_statements(self, check: Check) -> list[Statement]:
        """The policy of the function, the queue or the topic that an action is about."""
        document = None
        if check.action.startswith("lambda:") and ":function:" in check.resource:
            document = _function_policy(self.account, check.resource)
        elif check.action.startswith("sqs:"):
            document = _queue_policy(self.account, check.resource)
        elif check.action.startswith("sns:"):
            document = _topic_policy(self.account, check.resource)
        return [] if document is None else statements({"resource": document})


def denied(service: str, text: str) -> ServiceError:
    """A refusal in the form of the service's protocol."""
    if service in _QUERY:
        return ServiceError("AccessDenied", text, 403)
    return ServiceError("AccessDeniedException", text, 403 if service in _REST else 400)


def check_documents(request: Mapping[str, Any]) -> None:
    """Refuse a policy that IAM would not store. Raises ServiceError.

    https://docs.aws.amazon.com/IAM/latest/APIReference/API_PutRolePolicy.html (MalformedPolicyDocument)
    """
    for member in ("PolicyDocument", "AssumeRolePolicyDocument"):
        if (text := request.get(member)) is not None:
            try:
                statements({member: json.loads(text)})
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ServiceError("MalformedPolicyDocument", f"{member}: {error}") from None


def service_principal(service: str) -> Principal:
    """An AWS service that acts by itself: `events` is events.amazonaws.com."""
    name = service if service.endswith(_SERVICE_SUFFIX) else f"{service}{_SERVICE_SUFFIX}"
    return Principal("", service=name)


def _roles(account_id: str) -> dict[str, RolePolicies]:
    from moto.iam.models import iam_backends

    backend = iam_backends[account_id]["aws"]
    roles = {}
    for role in list(backend.roles.values()):
        attached = {policy.name: policy for policy in list(role.managed_policies.values())}
        identity = {name: _default_document(policy) for name, policy in attached.items()}
        for name, text in list(role.policies.items()):
            # Both count where a policy of the role's own has the name of an attached one.
            identity[f"{name} (inline)" if name in attached else name] = _parsed(text)
        boundary = role.permissions_boundary_arn or ""
        roles[role.arn] = RolePolicies(
            identity,
            _default_document(backend.managed_policies[boundary]) if boundary else None,
            _parsed(role.assume_role_policy_document),
            int(role.max_session_duration or 3600),
            {name: policy.arn for name, policy in attached.items()},
            boundary,
        )
    return roles


def _create_role(account_id: str, arn: str, policies: RolePolicies) -> None:
    """A role of a last start, with its policies and its boundary; managed policies that are missing are created."""
    from moto.iam.models import iam_backends

    backend = iam_backends[account_id]["aws"]
    path, _, name = arn.split(":role", 1)[1].rpartition("/")
    managed = {policy_arn: policies.identity[policy] for policy, policy_arn in policies.attached.items()}
    if policies.boundary_arn and policies.boundary is not None:
        managed.setdefault(policies.boundary_arn, policies.boundary)
    for policy_arn, document in managed.items():
        if policy_arn not in backend.managed_policies:
            policy_path, _, policy = policy_arn.split(":policy", 1)[1].rpartition("/")
            backend.create_policy("", f"{policy_path}/", json.dumps(document), policy, {})
    seconds = str(policies.maximum_seconds)
    trust = json.dumps(policies.trust)
    backend.create_role(name, trust, f"{path}/", policies.boundary_arn or None, "", [], seconds)
    for policy, document in policies.identity.items():
        if policy in policies.attached:
            backend.attach_role_policy(policies.attached[policy], name)
        else:
            backend.put_role_policy(name, policy.removesuffix(" (inline)"), json.dumps(document))


def _default_document(policy: Any) -> Document:
    return _parsed(next(version.document for version in policy.versions if version.is_default))


def _parsed(document: Any) -> Document:
    parsed: Document = json.loads(document) if isinstance(document, str) else document
    return parsed


def _function_policy(account: Account, arn: str) -> Document | None:
    from moto.awslambda.models import lambda_backends

    function = lambda_backends[account.id][account.region]._lambdas.get_arn(arn)
    if function is None or not function.policy:
        return None
    return {"Version": "2012-10-17", "Statement": function.policy.statements}


def _queue_policy(account: Account, arn: str) -> Document | None:
    from moto.sqs.models import sqs_backends

    queue = sqs_backends[account.id][account.region].queues.get(arn.rsplit(":", 1)[-1])
    return json.loads(queue.policy) if queue is not None and queue.policy else None


def _topic_policy(account: Account, arn: str) -> Document | None:
    from moto.sns.models import sns_backends

    topic = sns_backends[account.id][account.region].topics.get(arn)
    return json.loads(topic.policy) if topic is not None else None
