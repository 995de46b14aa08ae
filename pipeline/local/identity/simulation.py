"""IAM's policy simulator, for the roles of the local cloud.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html. A statement's position in the text
of its policy is left out of the answer. The missing context values are those of all conditions and variables of the
role's policies, whatever the action, as the service answers them (https://github.com/boto/boto3/issues/3111).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.local.context import ServiceError
from pipeline.local.identity.documents import RolePolicies
from pipeline.local.identity.policies import (
    Decision,
    PolicyError,
    Principal,
    Request,
    decide,
    lowered,
    statements,
)
from pipeline.local.identity.reference import action as reference

Answer = dict[str, Any]
# Members with which the simulator takes other policies into account, and which only users or EC2's scenarios need.
_UNSUPPORTED = ("CallerArn", "PolicyExclusionList", "ResourceHandlingOption", "ResourcePolicy")
_MAX_ITEMS = 100
_ANY_RESOURCE = "*"


def simulate(request: Mapping[str, Any], roles: Mapping[str, RolePolicies]) -> Answer:
    """Answer SimulatePrincipalPolicy; members by botocore's names, roles by ARN. Raises ServiceError."""
    for member in _UNSUPPORTED:
        if request.get(member):
            raise ServiceError("InvalidInput", f"The local cloud's policy simulator has no {member}.")
    source = request["PolicySourceArn"]
    if source not in roles:
        kind, _, name = source.split(":", 5)[-1].partition("/")
        raise ServiceError("NoSuchEntity", f"The {kind} with name {name} cannot be found.", 404)
    simulator = _Simulator(request, source, roles[source])
    resources = list(request.get("ResourceArns") or [_ANY_RESOURCE])
    results = [simulator.result(action, resources) for action in request["ActionNames"]]
    start, count = int(request.get("Marker") or 0), int(request.get("MaxItems") or _MAX_ITEMS)
    truncated = start + count < len(results)
    return {
        "EvaluationResults": results[start : start + count],
        "IsTruncated": truncated,
        **({"Marker": str(start + count)} if truncated else {}),
    }


class _Simulator:
    """One simulation: the policies of a role, perhaps with others, and the context of the requests."""

    def __init__(self, request: Mapping[str, Any], source: str, policies: RolePolicies) -> None:
        account = source.split(":")[4]
        self._principal = Principal(
            f"arn:aws:sts::{account}:assumed-role/{source.rsplit('/', 1)[-1]}/simulator", source
        )
        given = _documents(request, "PolicyInputList")
        limits = _documents(request, "PermissionsBoundaryPolicyInputList")
        own_limit = {} if policies.boundary is None else {"boundary": policies.boundary}
        # "Only the permissions boundary that you specify": it takes the place of the role's own.
        boundary = limits or own_limit
        try:
            self._identity = statements({**policies.identity, **given})
            self._boundary = statements(boundary) if boundary else None
        except (PolicyError, KeyError, TypeError) as error:
            raise ServiceError("InvalidInput", f"The policy is malformed: {error}") from None
        self._given = set(given)
        self._context = {
            "aws:principalarn": source,
            "aws:principalaccount": account,
            "aws:currenttime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "aws:epochtime": str(int(time.time())),
            **({"aws:resourceaccount": owner.split(":")[4]} if (owner := request.get("ResourceOwner")) else {}),
            **_context(request.get("ContextEntries", [])),
        }
        keys = {key for statement in [*self._identity, *(self._boundary or ())] for key in statement.keys}
        self._missing = sorted(key for key in keys if key.lower() not in self._context)

    def result(self, action: str, resources: list[str]) -> Answer:
        """The evaluation of an action; with several resources, one for each in it."""
        if len(resources) == 1:
            decision = self._decision(action, resources[0])
            return {
                "EvalActionName": action,
                "EvalResourceName": resources[0],
                "EvalDecision": _word(decision),
                "MatchedStatements": self._matched(decision),
                "MissingContextValues": self._missing,
                **self._limit(decision),
            }
        decisions = {resource: self._decision(action, resource) for resource in resources}
        # The page does not say how the answers are summed up; assumed: the most restrictive one.
        worst = min(decisions.values(), key=lambda decision: (decision.allowed, not decision.explicit))
        return {
            "EvalActionName": action,
            "EvalResourceName": _template(action),
            "EvalDecision": _word(worst),
            "MatchedStatements": [],
            "MissingContextValues": [],
            "ResourceSpecificResults": [
                {
                    "EvalResourceName": resource,
                    "EvalResourceDecision": _word(decision),
                    "MatchedStatements": self._matched(decision),
                    "MissingContextValues": self._missing,
                    **self._limit(decision),
                }
                for resource, decision in decisions.items()
            ],
        }

    def _decision(self, action: str, resource: str) -> Decision:
        request = Request(self._principal, action, resource, self._context)
        return decide(request, self._identity, (), self._boundary)

    def _matched(self, decision: Decision) -> list[Answer]:
        policies = dict.fromkeys(name.rpartition("/")[0] for name in decision.statements)
        kinds = {name: "none" if name in self._given else "role" for name in policies}
        return [{"SourcePolicyId": name, "SourcePolicyType": kind} for name, kind in kinds.items()]

    def _limit(self, decision: Decision) -> Answer:
        if self._boundary is None:
            return {}
        allowed = "permissions boundary" not in decision.reason
        return {"PermissionsBoundaryDecisionDetail": {"AllowedByPermissionsBoundary": allowed}}


def _word(decision: Decision) -> str:
    if decision.allowed:
        return "allowed"
    return "explicitDeny" if decision.explicit else "implicitDeny"


def _template(action: str) -> str:
    """The ARN of the action's resources with placeholders, which stands for all resources."""
    prefix, _, name = action.partition(":")
    entry = reference(prefix, name)
    return entry.types[0].template if entry and entry.types else _ANY_RESOURCE


def _documents(request: Mapping[str, Any], member: str) -> dict[str, Any]:
    try:
        return {f"{member}.{number}": json.loads(text) for number, text in enumerate(request.get(member, []), 1)}
    except ValueError as error:
        raise ServiceError("InvalidInput", f"{member}: the policy is not JSON: {error}") from None


def _context(entries: Iterable[Mapping[str, Any]]) -> dict[str, str | list[str]]:
    """Values by key. A type whose name ends with List has any number of values, another one has one."""
    context: dict[str, str | list[str]] = {}
    for entry in entries:
        key, values = entry.get("ContextKeyName", ""), [str(value) for value in entry.get("ContextKeyValues", [])]
        several = str(entry.get("ContextKeyType", "")).endswith("List")
        if not key or (not several and len(values) != 1):
            raise ServiceError("InvalidInput", f"Invalid context entry: {key or 'no key'} with {len(values)} values")
        context |= lowered({key: values if several else values[0]})
    return context
