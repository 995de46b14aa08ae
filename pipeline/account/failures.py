"""Why a stack failed, in the words of the service that refused, and what to do about the state that it is in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.account.events import Event

_HANDLER = re.compile(r'.*[Mm]essage: "(?P<said>.*?)(?: \(Service: [^"]*)?" \(.*\)', re.DOTALL)


def failure(name: str, status: str, failures: Sequence[Event]) -> str:
    """Why a stack failed, by the first resource that did, and what to do."""
    if failures:
        first = failures[0]
        reason = f"{first.resource} ({first.kind}): {said(first.reason)}"
    else:
        reason = "CloudFormation gives no reason"
    return f"the stack {name} failed, {reason}. It is in {status} now; {remedy(name, status)}"


def said(reason: str) -> str:
    """The service's own words in what CloudFormation reports, in one line."""
    match = _HANDLER.fullmatch(reason.strip())
    return one_line(match["said"] if match else reason).rstrip(".") or "no reason given"


def one_line(text: str) -> str:
    """Text without line breaks and runs of spaces."""
    return " ".join(text.split())


def remedy(name: str, status: str) -> str:
    """What can be done about a stack in a state in which it cannot be changed, or after a change that failed."""
    delete = "python -m pipeline bootstrap --delete"
    match status:
        case "ROLLBACK_COMPLETE" | "ROLLBACK_FAILED" | "CREATE_FAILED" | "IMPORT_ROLLBACK_FAILED":
            return f"put right what it says, then delete what is left of it: {delete}; and bootstrap again"
        case "UPDATE_ROLLBACK_FAILED":
            return (
                "put right what keeps it from going back, then: aws cloudformation continue-update-rollback"
                f" --stack-name {name}"
            )
        case "DELETE_FAILED":
            return f"put right what keeps it from being deleted, then again: {delete}"
        case "UPDATE_ROLLBACK_COMPLETE" | "IMPORT_ROLLBACK_COMPLETE":
            return "nothing was changed; put right what it says, and bootstrap again"
        case _ if status.endswith("_IN_PROGRESS"):
            return (
                "somebody else changes it; wait until that has ended:"
                f" aws cloudformation describe-stacks --stack-name {name}"
            )
    return "look at it in CloudFormation's console"
