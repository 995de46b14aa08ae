"""A life of the pipeline in the local cloud, by the requests that its roles and people were allowed.

`python -m tests.life` runs the demo and the commands of people in a folder of its own, which takes about ten minutes,
and writes life.jsonl next to the tests of the account's policies: one line for each role, action and statements, with
one request. `python -m tests.life FOLDER` writes the file from the local cloud in FOLDER as it is.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline import ROOT
from pipeline.aws.arns import name_of
from pipeline.local.identity import journal
from pipeline.local.identity.journal import Entry
from pipeline.local.identity.policies import Principal, Request

FILE = ROOT / "tests" / "unit" / "pipeline" / "account" / "life.jsonl"
PROFILE = "demo"
FIRING_SECONDS = 75
# Commands after the demo, by the person who calls them; the time is for a schedule to start a run.
COMMANDS: tuple[tuple[str, str], ...] = (
    ("ci", "check"),
    ("ci", "upsert"),
    ("approver", "models"),
    ("operator", "check"),
    ("operator", "runs"),
    ("operator", "watch"),
    ("operator", "logs ShardImages"),
    ("operator", "logs TuneModel"),
    ("operator", "logs endpoint"),
    ("operator", "logs deploy"),
    ("operator", "trials"),
    ("operator", "cost latest"),
    ("operator", "models"),
    ("operator", "lineage 1"),
    ("operator", "dataset"),
    ("operator", "endpoint"),
    ("operator", "batch s3://bins-raw/bin-images/0000"),
    ("operator", "monitor"),
    ("operator", "schedule 'rate(1 minute)'"),
    ("operator", "monitor --every 'rate(1 minute)'"),
    ("", str(FIRING_SECONDS)),
    ("operator", "schedules"),
    ("operator", "unschedule"),
    ("operator", "unschedule bins-monitor"),
    ("operator", "start --fresh all"),
    ("operator", "stop"),
)
# `monitor` exits with 3 if it finds a drift.
SUCCESS = (0, 3)


@dataclass(frozen=True)
class Allowed:
    """A request that was allowed to a role."""

    role: str
    """Its name; the name of a service that has no role."""
    action: str
    resource: str
    context: dict[str, Any] = field(default_factory=dict)

    def request(self) -> Request:
        """The request as policies see it. No policy of the template names a session."""
        service = self.role if "." in self.role else ""
        arn = "" if service else f"arn:aws:sts::123456789012:assumed-role/{self.role}/session"
        role = "" if service else f"arn:aws:iam::123456789012:role/{self.role}"
        return Request(Principal(arn, role, service), self.action, self.resource, self.context)


def read(path: Path = FILE) -> list[Allowed]:
    """The requests of a file."""
    return [Allowed(**json.loads(line)) for line in path.read_text().splitlines()]


def compact(entries: Iterable[Entry], keys: Iterable[str]) -> Iterator[str]:
    """Lines of a file: the allowed requests of roles and services, with the context that policies look at.

    `keys` are condition keys in lower case.
    """
    wanted = set(keys)
    lines = {}
    for entry in entries:
        if entry.allowed and not entry.role.endswith(":root"):
            context = {key: value for key, value in sorted(entry.context.items()) if key in wanted}
            line = {"role": name_of(entry.role), "action": entry.action, "resource": entry.resource, "context": context}
            lines[entry.kind] = json.dumps(line)
    return iter(sorted(lines.values()))


def write(folder: Path) -> int:
    """Write the file from a local cloud's folder; returns the number of requests."""
    from tests.unit.pipeline.account.mutations import condition_keys

    lines = list(compact(journal.read(folder / journal.FOLDER), condition_keys()))
    FILE.write_text("".join(f"{line}\n" for line in lines))
    return len(lines)


def live(folder: Path) -> None:
    """Run the demo and the commands in a local cloud of its own. Raises RuntimeError if a command fails."""
    try:
        call(folder, "demo --count 900")
        people = {person for person, _ in COMMANDS if person}
        sessions = {person: session(call(folder, f"local env --as {person}")) for person in people}
        for person, command in COMMANDS:
            print(f"{person or 'wait'}: {command}", flush=True)
            if person:
                call(folder, command, sessions[person])
            else:
                time.sleep(float(command))
    finally:
        call(folder, "local down")


def call(folder: Path, arguments: str, variables: Mapping[str, str] | None = None) -> str:
    """A command's output."""
    command = [sys.executable, "-m", "pipeline", "--profile", PROFILE, *shlex.split(arguments)]
    environment = {**os.environ, "PIPELINE_LOCAL_DIR": str(folder), **(variables or {})}
    answer = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if answer.returncode not in SUCCESS:
        raise RuntimeError(f"{arguments}: exit status {answer.returncode}")
    return answer.stdout


def session(text: str) -> dict[str, str]:
    """The variables of `local env`."""
    words = (shlex.split(line.rstrip(";")) for line in text.splitlines())
    return dict(word[1].split("=", 1) for word in words if word[0] == "export")


def main() -> None:
    """Live, or read a folder, and write the file."""
    if len(sys.argv) > 1:
        count = write(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            live(Path(folder))
            count = write(Path(folder))
    print(f"{FILE.relative_to(ROOT)}: {count} requests")


if __name__ == "__main__":
    main()
