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
from typing import Any, NamedTuple

from pipeline import ROOT
from pipeline.aws.arns import name_of
from pipeline.local.identity import journal
from pipeline.local.identity.journal import Entry
from pipeline.local.identity.policies import Principal, Request

FILE = ROOT / "tests" / "unit" / "pipeline" / "account" / "life.jsonl"
PROFILE = "demo"
FIRING_SECONDS = 75


class Command(NamedTuple):
    """A command of a person, and its exit statuses; without a person, seconds to wait."""

    person: str
    words: str
    statuses: tuple[int, ...] = (0,)


# Commands after the demo; the time is for a schedule to start a run.
COMMANDS = (
    Command("ci", "check"),
    Command("ci", "upsert"),
    Command("approver", "models"),
    Command("operator", "check"),
    Command("operator", "runs"),
    Command("operator", "watch"),
    Command("operator", "logs ShardImages"),
    Command("operator", "logs TuneModel"),
    Command("operator", "logs endpoint"),
    Command("operator", "logs deploy"),
    Command("operator", "trials"),
    Command("operator", "cost latest"),
    Command("operator", "models"),
    Command("operator", "lineage 1"),
    Command("operator", "dataset"),
    Command("operator", "endpoint"),
    Command("operator", "batch s3://bins-raw/bin-images"),
    # It exits with 3 if it finds a drift.
    Command("operator", "monitor", (0, 3)),
    Command("operator", "schedule 'rate(1 minute)'"),
    Command("operator", "monitor --every 'rate(1 minute)'"),
    Command("", str(FIRING_SECONDS)),
    Command("operator", "schedules"),
    Command("operator", "unschedule"),
    Command("operator", "unschedule bins-monitor"),
    Command("operator", "start --fresh all"),
    Command("operator", "stop"),
    # A run that fails, by its gate, and is continued: each failure is told.
    Command("operator", "start -p MinimumAccuracy=1"),
    Command("operator", "watch", (1,)),
    Command("operator", "retry"),
    Command("operator", "watch", (1,)),
)


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
        people = {command.person for command in COMMANDS if command.person}
        sessions = {person: session(call(folder, f"local env --as {person}")) for person in people}
        for person, words, statuses in COMMANDS:
            print(f"{person or 'wait'}: {words}", flush=True)
            if person:
                call(folder, words, sessions[person], statuses)
            else:
                time.sleep(float(words))
    finally:
        call(folder, "local down")


def call(
    folder: Path, arguments: str, variables: Mapping[str, str] | None = None, statuses: tuple[int, ...] = (0,)
) -> str:
    """A command's output. Raises RuntimeError where it ends with none of the `statuses`."""
    command = [sys.executable, "-m", "pipeline", "--profile", PROFILE, *shlex.split(arguments)]
    environment = {**os.environ, "PIPELINE_LOCAL_DIR": str(folder), **(variables or {})}
    answer = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if answer.returncode not in statuses:
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
