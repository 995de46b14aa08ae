"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "failed", "not checked"]


@dataclass(frozen=True)
class Finding:
    """One thing that a check looked at. `detail` of a failure or a warning says what to do."""

    status: Status
    detail: str


@dataclass(frozen=True)
class Result:
    """A finding, with the check that it is of."""

    check: str
    status: Status
    detail: str


def ok(detail: str) -> Finding:
    """It is as it has to be; `detail` names it in a few words."""
    return Finding("ok", detail)


def warning(detail: str) -> Finding:
    """It works, at a cost or not for long."""
    return Finding("warning", detail)


def failed(detail: str) -> Finding:
    """A run, a deployment or a schedule would fail on it."""
    return Finding("failed", detail)


def not_checked(reason: str) -> Finding:
    """Nobody knows, and why."""
    return Finding("not checked", reason)
