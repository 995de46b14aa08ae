"""Statements of the template's policies one by one, and what is lost without each.

A statement is DOCUMENT/SID: the template's name of the role or the managed policy, the inline policy's name, the
statement's. The local cloud's evaluator decides (pipeline/local/identity/policies.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pipeline import ROOT
from pipeline.local.identity.policies import Principal, Request, Statement, decide, statements
from pipeline.settings.file import load_settings
from tests.life import PROFILE, Allowed
from tests.unit.pipeline.account.needs import Need
from tests.unit.pipeline.account.stacks import VARIANTS, Stack

# People of the local cloud with the template's policies that they have: pipeline/operations/account/people.py.
PEOPLE = {
    "person-ci": ("CheckPolicy", "CiPolicy"),
    "person-operator": ("CheckPolicy", "OperatorPolicy"),
    "person-approver": ("ApproverPolicy",),
}


@dataclass(frozen=True)
class Mutant:
    """A statement of a document, which is to be removed."""

    document: str
    number: int
    sid: str
    effect: str

    @property
    def name(self) -> str:
        """DOCUMENT/SID."""
        return f"{self.document}/{self.sid}"


@cache
def demo() -> Stack:
    """The template for the settings of the recorded life."""
    return Stack(load_settings(ROOT / "pipeline.yaml", PROFILE))


@cache
def stack(variant: str) -> Stack:
    """The template for a variant of the settings."""
    return demo() if variant == PROFILE else Stack(VARIANTS[variant])


def mutants(documents: Mapping[str, Any], effect: str) -> Iterator[Mutant]:
    """The statements of documents with an effect."""
    for name, document in documents.items():
        for number, element in enumerate(document["Statement"]):
            if element["Effect"] == effect:
                yield Mutant(name, number, element.get("Sid", str(number)), effect)


def without(documents: Mapping[str, Any], mutant: Mutant) -> dict[str, Any]:
    """Documents without a statement."""
    document = documents[mutant.document]
    rest = [element for number, element in enumerate(document["Statement"]) if number != mutant.number]
    return {**documents, mutant.document: {**document, "Statement": rest}}


def holders(chosen: Stack) -> dict[str, tuple[str, ...]]:
    """Documents by the name of the role that has them: the template's roles, and the people of the local cloud."""
    held: dict[str, tuple[str, ...]] = {}
    for name, properties in chosen.resources.items():
        if "AssumeRolePolicyDocument" in properties:
            inline = [f"{name}/{policy['PolicyName']}" for policy in properties.get("Policies", [])]
            arns = properties.get("ManagedPolicyArns", [])
            attached = [other for other in chosen.resources if _managed_arn(chosen, other) in arns]
            held[properties["RoleName"]] = (*inline, *attached)
    people = {f"{chosen.settings.name}-{person}": documents for person, documents in PEOPLE.items()}
    return {**held, **people}


def _managed_arn(chosen: Stack, name: str) -> str:
    policy = chosen.resources[name].get("ManagedPolicyName", "")
    return f"arn:aws:iam::{chosen.settings.account.id}:policy/{policy}"


def trusts(chosen: Stack) -> dict[str, Any]:
    """Trust policies by the ARN of the role, as documents with the role's name in the template."""
    return {
        f"{name}/trust": properties["AssumeRolePolicyDocument"]
        for name, properties in chosen.resources.items()
        if "AssumeRolePolicyDocument" in properties
    }


def condition_keys() -> set[str]:
    """Condition keys of all policies of the template, in lower case."""
    keys: set[str] = set()
    for chosen in (demo(), *map(stack, VARIANTS)):
        for statement in statements({**chosen.documents(), **trusts(chosen)}):
            keys |= {key.lower() for key in statement.keys}
    return keys


class Judge:
    """Decides the requests of a life by the policies of a stack, whole or without a statement."""

    def __init__(self, chosen: Stack) -> None:
        self._stack = chosen
        self._held = holders(chosen)
        self._identity = {name: statements({name: document}) for name, document in chosen.documents().items()}
        self._trust = {name: statements({name: document}) for name, document in trusts(chosen).items()}

    def knows(self, entry: Allowed) -> bool:
        """Whether the template has the policies that decide about a request."""
        return entry.role in self._held or (entry.action == "sts:AssumeRole" and entry.resource in self._roles())

    def allows(self, entry: Allowed, missing: Mutant | None = None) -> bool:
        """Whether a request is allowed, without a statement."""
        request = entry.request()
        if entry.action == "sts:AssumeRole" and not request.principal.role:
            trust = self._rest(self._trust, f"{self._roles()[entry.resource]}/trust", missing)
            return decide(request, (), trust, trust=True).allowed
        held = [self._rest(self._identity, name, missing) for name in self._held[entry.role]]
        return decide(request, [statement for part in held for statement in part]).allowed

    def _roles(self) -> dict[str, str]:
        account = self._stack.settings.account.id
        return {
            f"arn:aws:iam::{account}:role/{properties['RoleName']}": name
            for name, properties in self._stack.resources.items()
            if "AssumeRolePolicyDocument" in properties
        }

    @staticmethod
    def _rest(prepared: Mapping[str, list[Statement]], name: str, missing: Mutant | None) -> list[Statement]:
        whole = prepared[name]
        if missing is None or missing.document != name:
            return whole
        return [statement for number, statement in enumerate(whole) if number != missing.number]


def lost(judge: Judge, life: Iterable[Allowed], mutant: Mutant) -> list[Allowed]:
    """The requests of a life that are refused without a statement."""
    return [entry for entry in life if judge.knows(entry) and not judge.allows(entry, mutant)]


def unmet(documents: Mapping[str, Any], needs: Iterable[Need]) -> list[Need]:
    """The needs that policies do not meet."""
    prepared = statements(documents)
    principal = Principal("arn:aws:sts::111122223333:assumed-role/somebody/session")
    return [need for need in needs if not decide(_request(principal, need), prepared).allowed]


def _request(principal: Principal, need: Need) -> Request:
    context = {key.lower(): value for key, value in need.context.items()}
    # The needs are of several accounts: ECR's images of AWS, for one.
    return Request(principal, need.action, need.resource, {**context, "aws:resourceaccount": "111122223333"})
