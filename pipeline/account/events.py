"""What CloudFormation reports of a stack: change sets, their changes, and events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Change:
    """What a change set would do to one resource."""

    action: str
    """Add, Modify, Remove or Import."""
    resource: str
    """Its name in the template."""
    kind: str
    """`AWS::S3::Bucket`."""
    replacement: str = ""
    """For Modify: True, False or Conditional (it depends on what another change brings)."""
    physical: str = ""
    """What it is called in the account; empty for what is not there yet."""
    kept: bool = False
    """Whether what is removed or replaced stays in the account, without the stack."""
    properties: tuple[str, ...] = ()
    """For Modify: which of its properties change."""


@dataclass(frozen=True)
class Event:
    """Something that happened to one resource of a stack, or to the stack itself."""

    time: datetime
    resource: str
    kind: str
    status: str
    reason: str


@dataclass(frozen=True)
class ChangeSet:
    """A change set of ours, ready to be executed; without changes there is nothing to execute."""

    name: str
    changes: tuple[Change, ...]
    empty: bool = False
