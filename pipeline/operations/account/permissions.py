"""What the roles of the local cloud were allowed and refused, by its record of decisions, and what they never used.

A statement that no run of the pipeline uses is a candidate for removal, unless AWS needs it for what the local cloud
does not have: keys, networks, continuous integration by GitHub.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.aws.arns import name_of
from pipeline.local.identity import documents, journal
from pipeline.local.identity.documents import RolePolicies
from pipeline.local.identity.journal import Entry
from pipeline.local.identity.policies import Principal, Request, Statement, decide, statements
from steps.contracts.errors import PipelineError


@dataclass(frozen=True)
class StatementUse:
    """A statement that allows actions, as POLICY/SID."""

    name: str
    used: tuple[str, ...]
    """Actions that it has allowed."""
    never_used: tuple[str, ...]
    """Its actions, or patterns of actions, that it has not allowed in any decision."""


@dataclass(frozen=True)
class Refusal:
    """A refused action, with its first example."""

    call: str
    """Service and operation, such as sagemaker:CreateModelPackage."""
    action: str
    resource: str
    reason: str
    """End of AWS's message."""
    statements: tuple[str, ...]
    """Statements that refuse it; none if no statement allows it."""


@dataclass(frozen=True)
class RoleUse:
    """A role, or an AWS service or the root user by itself, with its decisions."""

    name: str
    statements: tuple[StatementUse, ...]
    denied: tuple[Refusal, ...]


def role_uses(directory: Path, role: str = "") -> list[RoleUse]:
    """All roles of a local cloud, or one by its name; roles with refusals first.

    A refusal that the present policies would allow is left out. Raises PipelineError.
    """
    policies = documents.read(directory)
    try:
        entries = journal.read(directory / journal.FOLDER)
    except journal.JournalError as error:
        raise PipelineError(str(error)) from error
    if not policies and not entries:
        raise PipelineError("no decisions are recorded; start the local cloud: python -m pipeline local up")
    names = dict.fromkeys([*policies, *(entry.role for entry in entries)])
    if role:
        chosen = [name for name in names if role in (name, name_of(name))]
        if not chosen:
            roles = ", ".join(sorted(map(name_of, policies)))
            raise PipelineError(f"the local cloud has no role {role}; it has {roles}")
        names = dict.fromkeys(chosen)
    uses = [_use(name, policies, [entry for entry in entries if entry.role == name]) for name in names]
    return sorted(uses, key=lambda use: (not use.denied, use.name))


def _use(role: str, policies: Mapping[str, RolePolicies], entries: list[Entry]) -> RoleUse:
    present = policies.get(role, RolePolicies())
    identity = statements(present.identity)
    boundary = None if present.boundary is None else statements({"boundary": present.boundary})
    allowed = [(entry, request_of(entry)) for entry in entries if entry.allowed]
    uses = [_statement_use(statement, allowed) for statement in identity if statement.allows]
    own = {statement.name for statement in identity}
    return RoleUse(
        name_of(role),
        (*uses, *_foreign_statements(own, entries)),
        tuple(
            Refusal(f"{entry.service}:{entry.operation}", entry.action, entry.resource, entry.reason, entry.statements)
            for entry in entries
            if not entry.allowed and not _mended(entry, identity, boundary)
        ),
    )


def _mended(entry: Entry, identity: list[Statement], boundary: list[Statement] | None) -> bool:
    """Whether the role's present policies allow what its policies then refused."""
    by_role = any(kind in entry.reason for kind in ("identity-based policy", "permissions boundary"))
    return by_role and decide(request_of(entry), identity, (), boundary).allowed


def request_of(entry: Entry) -> Request:
    """The question of a recorded decision."""
    role = entry.role if entry.role.startswith("arn:") and entry.role != entry.principal else ""
    service = "" if entry.principal.startswith("arn:") else entry.principal
    principal = Principal("" if service else entry.principal, role, service)
    return Request(principal, entry.action, entry.resource, entry.context)


def _statement_use(statement: Statement, allowed: Iterable[tuple[Entry, Request]]) -> StatementUse:
    used = sorted({entry.action for entry, request in allowed if statement.applies(request)})
    unused = [pattern for pattern in statement.actions if not any(_covers(pattern, action) for action in used)]
    return StatementUse(statement.name, tuple(used), tuple(unused))


def _covers(pattern: str, action: str) -> bool:
    element = {"Effect": "Allow", "Action": pattern, "Resource": "*"}
    return Statement("", element, variables=False).matches_action(action)


def _foreign_statements(own: set[str], entries: list[Entry]) -> list[StatementUse]:
    """Statements of resources' policies, such as a function's, that have allowed something."""
    used: dict[str, set[str]] = {}
    for entry in entries:
        for name in entry.statements if entry.allowed else ():
            # A statement of the role that has been renamed or removed since is no resource's.
            if name not in own and name.split("/")[0] in ("resource", "bucket", "trust"):
                used.setdefault(name, set()).add(entry.action)
    return [StatementUse(name, tuple(sorted(actions)), ()) for name, actions in sorted(used.items())]
