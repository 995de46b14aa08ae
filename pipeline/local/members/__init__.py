"""The members of requests that the local cloud has; a request with another one is refused, never half carried out.

SERVICE.yaml in this folder has a table per operation. A service without such a file, and an operation that it does not
name, is not held to one yet.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_FOLDER = Path(__file__).parent


@dataclass
class Table:
    """The members of one operation's request, by their paths: `TransformInput.SplitType`. Lists have no index."""

    read: set[str] = field(default_factory=set)
    described: set[str] = field(default_factory=set)
    only: dict[str, list[object]] = field(default_factory=dict)
    without_effect: dict[str, str] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)

    def accepts(self, path: str) -> bool:
        """Whether a member has a place other than `refused`, by itself."""
        return path in self.read | self.described or path in self.only or path in self.without_effect

    def add(self, block: dict[str, Any], prefix: str) -> None:
        """Add a block of the file, with its paths below `prefix`."""
        self.read |= {prefix + path for path in block.get("read", [])}
        self.described |= {prefix + path for path in block.get("described", [])}
        self.refused |= {prefix + path for path in block.get("refused", [])}
        # YAML has no plain text `None`: the value of that name is written without quotes, and is text there too.
        self.only |= {prefix + path: list(values) for path, values in block.get("only", {}).items()}
        self.without_effect |= {prefix + path: reason for path, reason in block.get("without_effect", {}).items()}


@functools.cache
def tables(service: str) -> dict[str, Table] | None:
    """The tables of a service by operation; None for a service without a file."""
    path = _FOLDER / f"{service}.yaml"
    if not path.exists():
        return None
    content = yaml.safe_load(path.read_text())
    by_operation: dict[str, Table] = {}
    for operation, block in content["operations"].items():
        table = by_operation[operation] = Table()
        table.add(block, "")
        for place, name in block.get("include", {}).items():
            table.add(content["shared"][name], f"{place}." if place else "")
    return by_operation


def problems(service: str, operation: str, request: dict[str, Any]) -> list[str]:
    """What a request asks for that the local cloud does not have, one sentence each."""
    table = (tables(service) or {}).get(operation)
    return [] if table is None else list(_problems(operation, table, request, ""))


def _problems(operation: str, table: Table, value: object, path: str) -> Iterator[str]:
    if path and path in table.only:
        allowed = table.only[path]
        # A placeholder of a pipeline's definition, {"Get": ...}, is judged with its value.
        if not isinstance(value, dict) and value not in allowed:
            text = " or ".join(map(str, allowed))
            yield f"The local cloud has {path} {text} of {operation} only, not {value}."
    elif isinstance(value, list):
        for item in value:
            yield from _problems(operation, table, item, path)
    elif path and table.accepts(path):
        return
    elif isinstance(value, dict) and path not in table.refused:
        for name, inner in value.items():
            yield from _problems(operation, table, inner, f"{path}.{name}" if path else name)
    else:
        yield f"The local cloud does not have {path} of {operation}."
