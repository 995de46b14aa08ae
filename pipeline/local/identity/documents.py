"""The policies of the account's roles and buckets, in one file that the processes of the local cloud share.

The APIs' process replaces the file whenever IAM changes; the S3 door reads it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FILE = "identity.json"
Document = dict[str, Any]


@dataclass(frozen=True)
class RolePolicies:
    """A role's identity policies by name, inline and attached ones; its boundary, if any; its trust policy."""

    identity: dict[str, Document] = field(default_factory=dict)
    boundary: Document | None = None
    trust: Document | None = None
    maximum_seconds: int = 3600
    """MaxSessionDuration."""
    attached: dict[str, str] = field(default_factory=dict)
    """ARNs of the attached policies by their name in `identity`."""
    boundary_arn: str = ""


def write(directory: Path, roles: Mapping[str, RolePolicies]) -> None:
    """Replace the file in one step. `roles` by ARN."""
    partial = directory / f"{FILE}.partial"
    partial.write_text(json.dumps({arn: asdict(policies) for arn, policies in roles.items()}))
    partial.replace(directory / FILE)


def read(directory: Path) -> dict[str, RolePolicies]:
    """The roles' policies by ARN; none before the first write, so that nothing is allowed."""
    try:
        roles = json.loads((directory / FILE).read_text())
    except FileNotFoundError:
        return {}
    return {arn: RolePolicies(**policies) for arn, policies in roles.items()}


def modified(directory: Path) -> int:
    """A number that changes with the file; 0 while there is none."""
    try:
        return (directory / FILE).stat().st_mtime_ns
    except FileNotFoundError:
        return 0
