"""The decisions of a local cloud, as lines of JSON: one line for each new kind of decision, with an example.

A kind is a role with an action, the statements that decided, and the answer. So the file stays small through a life of
many thousand requests, and still shows which statement of which role allowed or refused what.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.local.identity.policies import Decision, Request

FOLDER = "decisions"
"""Folder of the files below the local cloud's own; each process of the cloud writes one."""


class JournalError(Exception):
    """A file that is no record of decisions."""


@dataclass(frozen=True)
class Entry:
    """A kind of decision with its first example."""

    role: str
    """ARN of the session's role; the name of a service, or the ARN of a principal, that has none."""
    action: str
    statements: tuple[str, ...]
    """The statements that decided, as POLICY/SID; none for an implicit refusal."""
    allowed: bool
    principal: str
    resource: str
    service: str
    operation: str
    reason: str = ""
    """End of AWS's message about a refusal."""
    context: dict[str, Any] = field(default_factory=dict)
    """Values of condition keys by the key in lower case."""
    time: float = 0.0
    """Seconds since 1970."""

    @property
    def kind(self) -> tuple[str, str, tuple[str, ...], bool]:
        """What makes an entry another one."""
        return (self.role, self.action, self.statements, self.allowed)


class Journal:
    """A file of decisions that one process writes; its threads share it."""

    def __init__(self, path: Path) -> None:
        """`path` need not exist. Raises JournalError if it is no record of decisions."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock = threading.Lock()
        self._kinds = {entry.kind for entry in _entries(path)} if path.exists() else set()
        if path.exists() and not path.read_bytes().endswith(b"\n"):
            self._path.write_text("".join(f"{line}\n" for line in _lines(path)))

    def record(self, request: Request, decision: Decision, *, service: str, operation: str) -> None:
        """Add a decision, if it is the first of its kind."""
        principal = request.principal
        role = principal.role or principal.service or principal.arn
        kind = (role, request.action, decision.statements, decision.allowed)
        if kind in self._kinds:
            return
        entry = Entry(
            *kind,
            principal=principal.arn or principal.service,
            resource=request.resource,
            service=service,
            operation=operation,
            reason=decision.reason,
            context=dict(request.context),
            time=round(time.time(), 3),
        )
        with self._lock:
            if kind in self._kinds:
                return
            self._kinds.add(kind)
            with self._path.open("a") as file:
                file.write(json.dumps(asdict(entry)) + "\n")


def read(folder: Path) -> list[Entry]:
    """All decisions of a local cloud, of all its processes, each kind once; none before the first.

    Raises JournalError.
    """
    entries: dict[Any, Entry] = {}
    for path in sorted(folder.glob("*.jsonl")):
        for entry in _entries(path):
            entries.setdefault(entry.kind, entry)
    return sorted(entries.values(), key=lambda entry: entry.time)


def _lines(path: Path) -> list[str]:
    """The lines of a file but for the last, if a process has ended while it wrote it."""
    text = path.read_text()
    lines = text.splitlines()
    return lines if text.endswith("\n") else lines[:-1]


def _entries(path: Path) -> Iterator[Entry]:
    for number, line in enumerate(_lines(path), 1):
        try:
            values = json.loads(line)
            yield Entry(**{**values, "statements": tuple(values["statements"])})
        except (ValueError, TypeError, KeyError) as error:
            raise JournalError(f"{path}:{number}: no decision: {error}; delete the file") from None
