"""The commit and the repository of the source, for the registry."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pipeline import ROOT

SECONDS = 10
# git@host:owner/name, the form of addresses over SSH.
_SSH = re.compile(r"(?:ssh://)?(?:[^@/]+@)?(?P<host>[^:/]+)[:/](?P<path>[^:]+)")


@dataclass(frozen=True)
class Source:
    """A commit, with `-dirty` where files of the project differ from it, and the address of its repository."""

    commit: str
    repository: str


def find(root: Path = ROOT) -> Source | None:
    """The source of the project at `root`; None without a git repository or git."""
    commit = _git(root, "rev-parse", "HEAD")
    if not commit:
        return None
    changed = _git(root, "status", "--porcelain", "--", ".")
    return Source(commit + ("-dirty" if changed else ""), public_address(_git(root, "remote", "get-url", "origin")))


def public_address(remote: str) -> str:
    """The address of a remote without user, password or token; empty for a folder of this machine."""
    if remote.startswith(("http://", "https://")):
        parts = urlsplit(remote)
        return f"https://{parts.hostname}{parts.path}"
    match = _SSH.fullmatch(remote)
    if match is None or remote.startswith(("/", ".", "file:")):
        return ""
    return f"https://{match['host']}/{match['path'].lstrip('/')}"


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
