"""What an image's Dockerfile says of its user and of the places of its code; nothing is built here."""

from __future__ import annotations

import json
import posixpath
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

OPT_ML = "/opt/ml"


@dataclass(frozen=True)
class Dockerfile:
    """The last USER (root without one), and the folders in which Python and the entry point look for code."""

    user: str
    code: tuple[str, ...]

    @property
    def runs_as_root(self) -> bool:
        """Whether the container's process is root's."""
        return self.user.partition(":")[0] in ("root", "0")

    @property
    def is_hidden_by_processing(self) -> bool:
        """Whether all its code lies below /opt/ml, where a processing job's folders are."""
        return bool(self.code) and all(f"{place}/".startswith(f"{OPT_ML}/") for place in self.code)


def read(image: Path) -> Dockerfile:
    """The Dockerfile in the copy of an image's source; an image without one runs as root."""
    user, folder, paths, scripts = "root", "/", list[str](), list[str]()
    for path in sorted(image.glob("containers/*/Dockerfile")):
        for name, value in _instructions(path.read_text()):
            match name:
                case "USER":
                    user = value
                case "WORKDIR":
                    folder = posixpath.join(folder, value)
                case "ENV":
                    paths = _python_path(value) or paths
                case "ENTRYPOINT" if value.startswith("["):
                    words = map(str, json.loads(value))
                    scripts = [
                        posixpath.dirname(word) for word in words if word.startswith("/") and word.endswith(".py")
                    ]
    places = paths or ([folder] if folder != "/" else scripts)
    return Dockerfile(user, tuple(posixpath.normpath(place) for place in places))


def _python_path(value: str) -> list[str]:
    for word in shlex.split(value):
        name, _, places = word.partition("=")
        if name == "PYTHONPATH":
            return [place for place in places.split(":") if place.startswith("/")]
    return []


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    """Instructions and their arguments; lines that end in a backslash go on, and comments are left out."""
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, value = line.strip().partition(" ")
        if name:
            yield name.upper(), value.strip()
