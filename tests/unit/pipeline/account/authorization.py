"""Which resources an action takes, by AWS's service authorization reference as the linter of policies carries it."""

from __future__ import annotations

import importlib.util
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

_PLACEHOLDER = re.compile(r"\\\$\\\{\w+\\\}")


def takes(action: str, resource: str) -> bool:
    """Whether `resource`, which may be a pattern, can be of a type that the action is checked against."""
    formats = _formats()[action]
    if not formats:
        return resource == "*"
    return any(re.fullmatch(one, resource) for one in formats)


@cache
def _formats() -> dict[str, list[str]]:
    """Regular expressions of the ARNs that each action takes."""
    found = {}
    for service in _definitions():
        arns = {one["resource"]: _expression(one["arn"]) for one in service["resources"]}
        for privilege in service["privileges"]:
            kinds = (one["resource_type"].rstrip("*") for one in privilege["resource_types"])
            action = f"{service['prefix']}:{privilege['privilege']}"
            found[action] = [arns[kind] for kind in kinds if kind in arns]
    return found


def _expression(arn: str) -> str:
    parts = _PLACEHOLDER.split(re.escape(arn))
    # A name may have slashes in it, but only the last one of an ARN.
    return "[^/:]*".join(parts[:-1]) + ".*" + parts[-1] if len(parts) > 1 else parts[0]


def _definitions() -> Any:
    spec = importlib.util.find_spec("parliament")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return json.loads((Path(spec.submodule_search_locations[0]) / "iam_definition.json").read_text())
