"""What CloudFormation reports about a stack: change sets, events, and the reason of a failure with its remedy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

_HANDLER = re.compile(r'.*[Mm]essage: "(?P<message>.*?)(?: \(Service: [^"]*)?" \(.*\)', re.DOTALL)


@dataclass(frozen=True)
class Change:
    """The effect of a change set on one resource."""

    action: str
    """Add, Modify, Remove or Import."""
    resource: str
    """Logical id: the name in the template."""
    kind: str
    """`AWS::S3::Bucket`."""
    replacement: str = ""
    """For Modify: True, False or Conditional (depends on another change)."""
    physical: str = ""
    """Physical id: the name in the account; empty for a resource that does not exist yet."""
    retained: bool = False
    """Whether a removed or replaced resource stays in the account, outside the stack."""
    properties: tuple[str, ...] = ()
    """For Modify: the properties that change."""


@dataclass(frozen=True)
class ChangeSet:
    """A change set that can be executed; an empty one has nothing to execute."""

    name: str
    changes: tuple[Change, ...]
    empty: bool = False


@dataclass(frozen=True)
class Event:
    """An event of one resource of a stack, or of the stack itself."""

    time: datetime
    resource: str
    kind: str
    status: str
    reason: str


def failure(name: str, status: str, failures: Sequence[Event]) -> str:
    """Why a stack failed, by the first resource that did, and what to do."""
    if failures:
        first = failures[0]
        reason = f"{first.resource} ({first.kind}): {message_of(first.reason)}"
    else:
        reason = "CloudFormation names no reason"
    return f"the stack {name} failed, {reason}. It is in {status} now; {remedy(name, status)}"


def message_of(reason: str) -> str:
    """The service's own message within a reason of CloudFormation's, in one line."""
    match = _HANDLER.fullmatch(reason.strip())
    return one_line(match["message"] if match else reason).rstrip(".") or "no reason given"


def one_line(text: str) -> str:
    """Text without line breaks and runs of spaces."""
    return " ".join(text.split())


def remedy(name: str, status: str) -> str:
    """What to do about a stack in a state that allows no change, or after a change that failed."""
    delete = "python -m pipeline bootstrap --delete"
    match status:
        case "ROLLBACK_COMPLETE" | "ROLLBACK_FAILED" | "CREATE_FAILED" | "IMPORT_ROLLBACK_FAILED":
            return f"fix the cause, delete the rest of the stack: {delete}; and bootstrap again"
        case "UPDATE_ROLLBACK_FAILED":
            return (
                f"fix what prevents the rollback, then: aws cloudformation continue-update-rollback --stack-name {name}"
            )
        case "DELETE_FAILED":
            return f"fix what prevents the deletion, then again: {delete}"
        case "UPDATE_ROLLBACK_COMPLETE" | "IMPORT_ROLLBACK_COMPLETE":
            return "nothing was changed; fix the cause and bootstrap again"
        case _ if status.endswith("_IN_PROGRESS"):
            return (
                "another change is in progress; wait until it has ended:"
                f" aws cloudformation describe-stacks --stack-name {name}"
            )
    return "see the stack in CloudFormation's console"
