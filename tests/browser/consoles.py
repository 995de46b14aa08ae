"""Consoles as people start them: the command, with the credentials of a person of the local cloud."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline import ROOT
from pipeline.operations.account import people
from pipeline.settings import Settings
from tests.conftest import free_port

PROFILE = "demo"
_END_SECONDS = 30


@contextmanager
def console(settings: Settings, file: Path, person: people.Person) -> Iterator[str]:
    """The console of a settings file, for a person of the running local cloud. Yields the address that it prints."""
    command = [sys.executable, "-m", "pipeline", "--profile", PROFILE, "--settings", str(file)]
    command += ["console", "--port", str(free_port())]
    # With its folder first, so that the commands that the pages name begin with `python`.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **people.sign_in(settings, person), "PATH": path, "PYTHONUNBUFFERED": "1"}
    serving = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert serving.stdout is not None
        first = serving.stdout.readline()
        assert first.startswith("console: http://127.0.0.1:"), first
        yield first.removeprefix("console: ").strip()
    finally:
        serving.terminate()
        serving.communicate(timeout=_END_SECONDS)
