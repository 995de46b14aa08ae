"""A docker command that does nothing but keep what it is told: each call's arguments, input and environment."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Behaves as docker does for the calls that the operations make; `answers.json` has what a test wants otherwise.
PROGRAM = """\
#!{python} -SE
import json, os, pathlib, sys
folder = pathlib.Path({folder!r})
words = sys.argv[1:]
piped = sys.stdin.buffer.read() if words[0] == "login" or words[-1] == "-" else b""
number = len(list(folder.glob("call-*")))
(folder / f"call-{{number}}").write_bytes(piped)
with (folder / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps({{"arguments": words, "environment": dict(os.environ)}}) + "\\n")
kept = folder / "kept.json"
images = json.loads(kept.read_text())
for call, answer in json.loads((folder / "answers.json").read_text()).items():
    if " ".join(words).startswith(call):
        print(answer["says"], file=sys.stderr)
        sys.exit(answer["status"])
pushed = folder / "pushed.json"
there = json.loads(pushed.read_text())
if words[:2] == ["manifest", "inspect"] and words[2] not in there:
    sys.exit(f"no such manifest: {{words[2]}}")
if words[0] == "push":
    pushed.write_text(json.dumps([*there, words[1]]))
    if words[1] in json.loads((folder / "rivals.json").read_text()):
        sys.exit("tag invalid: cannot be overwritten because the tag is immutable")
if words[:2] == ["buildx", "build"]:
    print("#1 building")
    images[words[words.index("--tag") + 1]] = json.loads((folder / "descriptor.json").read_text())
    kept.write_text(json.dumps(images))
if words[:2] == ["image", "inspect"]:
    if words[2] not in images:
        print("[]")
        sys.exit(f"Error response from daemon: No such image: {{words[2]}}")
    print(json.dumps([{{"Id": "sha256:0", **images[words[2]]}}]))
"""


@dataclass(frozen=True)
class Call:
    """One call of docker."""

    arguments: list[str]
    environment: dict[str, str]
    input: bytes


@dataclass(frozen=True)
class StandIn:
    """The command's folder: its PATH entry, and what it was told."""

    folder: Path

    @classmethod
    def installed(cls, folder: Path) -> StandIn:
        """Write the command into `folder`, which then is to come first on PATH."""
        folder.mkdir()
        command = folder / "docker"
        command.write_text(PROGRAM.format(python=sys.executable, folder=str(folder)))
        command.chmod(command.stat().st_mode | stat.S_IXUSR)
        stand_in = cls(folder)
        (folder / "answers.json").write_text("{}")
        stand_in.keeps({})
        stand_in.builds({})
        stand_in.registry_has([])
        stand_in.another_pushes([])
        return stand_in

    def fails(self, call: str, says: str, status: int = 1) -> None:
        """From now on calls that begin so fail with these lines on stderr."""
        path = self.folder / "answers.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), call: {"says": says, "status": status}}))

    def keeps(self, images: Mapping[str, Mapping[str, Any]]) -> None:
        """The images that it has: what inspect says of each, by URI."""
        (self.folder / "kept.json").write_text(json.dumps(images))

    def registry_has(self, uris: Sequence[str]) -> None:
        """The images that have been pushed."""
        (self.folder / "pushed.json").write_text(json.dumps(uris))

    def another_pushes(self, uris: Sequence[str]) -> None:
        """The images that somebody else pushes just before this one does."""
        (self.folder / "rivals.json").write_text(json.dumps(uris))

    def builds(self, inspected: Mapping[str, Any]) -> None:
        """What inspect says of an image that is built from now on."""
        (self.folder / "descriptor.json").write_text(json.dumps(inspected))

    def calls(self, *words: str) -> list[Call]:
        """The calls that begin with these words, in their order."""
        path = self.folder / "calls.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        found = []
        for number, line in enumerate(lines):
            one = json.loads(line)
            if one["arguments"][: len(words)] == list(words):
                found.append(Call(one["arguments"], one["environment"], (self.folder / f"call-{number}").read_bytes()))
        return found
