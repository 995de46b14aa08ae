"""A process in the background, which outlives the command that starts it: its start, until it is ready."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pipeline.aws.waiting import wait_until
from steps.contracts.errors import PipelineError

T = TypeVar("T")

_POLL_SECONDS = 0.05


def start(
    name: str,
    arguments: Sequence[str],
    log: Path,
    ready: Callable[[int], T | None],
    *,
    seconds: float,
    env: Mapping[str, str],
    cwd: Path,
    pass_fds: Sequence[int] = (),
) -> T:
    """Run Python with these arguments, its output appended to `log`, and wait until `ready` of its number has a value.

    Raises PipelineError with its last line where the process ends before, or is not ready within `seconds`; it is ended
    then, as it is by Ctrl-C.
    """
    with log.open("ab") as output:
        begin = output.tell()
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=cwd,
            env=dict(env),
            pass_fds=pass_fds,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def look() -> T | None:
        if (value := ready(process.pid)) is not None:
            return value
        if process.poll() is not None:
            written = log.read_bytes()[begin:].decode(errors="replace").strip()
            last = written.splitlines()[-1] if written else f"exit status {process.returncode}"
            raise PipelineError(f"{name} did not start: {last} (log: {log})")
        return None

    try:
        value = wait_until(look, seconds, _POLL_SECONDS)
    except BaseException:
        # It ends by itself, and has what was passed to it until then.
        process.terminate()
        raise
    if value is None:
        process.terminate()
        raise PipelineError(f"{name} was not ready within {seconds:.0f} seconds (log: {log})")
    return value
