"""What a cloud's server wrote down about the parts that it had to start again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

FILE = "health.json"


@dataclass(frozen=True)
class Restart:
    """A part that the cloud's server started again: when (UTC), and how its process had ended."""

    at: str
    part: str
    reason: str


@dataclass
class Health:
    """What has happened since the cloud's last start."""

    restarts: list[Restart] = field(default_factory=list)
    given_up: str = ""
    """Why S3 is not started again; empty while it is watched."""


def read(directory: Path) -> Health:
    """The record of the cloud in this folder; an empty one where there is none."""
    try:
        values = json.loads((directory / FILE).read_text())
        return Health([Restart(**restart) for restart in values["restarts"]], values["given_up"])
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return Health()


def write(directory: Path, health: Health) -> None:
    """Replace the record in one step."""
    partial = directory / f"{FILE}.partial"
    partial.write_text(json.dumps(asdict(health)))
    partial.replace(directory / FILE)
