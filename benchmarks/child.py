"""A contender in a process of its own, so that the memory of another one does not affect it.

A contender is a function that imports and prepares what it needs, and returns the work; only the work is timed.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# The work may return figures of its own.
Work = Callable[[], dict[str, float] | None]


class ContenderError(Exception):
    """A contender failed; its stderr has the reason."""


@dataclass(frozen=True)
class Measured:
    """Seconds of the work by the clock and of processor time, and the peak resident memory of its own process.

    `figures` are those that the work measured itself.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    figures: dict[str, float] = field(default_factory=dict)


def measure(
    contender: Callable[..., Work],
    arguments: Mapping[str, object],
    environment: Mapping[str, str] | None = None,
    python: str = sys.executable,
) -> Measured:
    """Run the work of `contender(**arguments)` in a new interpreter, with `environment` added to this process's.

    `arguments` are passed as JSON; `python` may be the interpreter of another environment. Raises ContenderError when
    the contender fails.
    """
    name = f"{contender.__module__}:{contender.__name__}"
    result = subprocess.run(
        [python, "-m", "benchmarks.child", name, json.dumps(dict(arguments))],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if result.returncode:
        raise ContenderError(f"{name} ended with status {result.returncode}")
    return Measured(**json.loads(result.stdout.splitlines()[-1]))


def main() -> None:
    """Do the work of the contender on the command line, and print its figures."""
    logging.disable(logging.WARNING)  # a step's warnings about its photos
    module, _, name = sys.argv[1].partition(":")
    work: Work = getattr(importlib.import_module(module), name)(**json.loads(sys.argv[2]))
    started, cpu_started = time.perf_counter(), cpu_seconds()
    figures = work() or {}
    seconds, processor = time.perf_counter() - started, cpu_seconds() - cpu_started
    print(json.dumps(asdict(Measured(seconds, processor, peak_bytes(), figures))), flush=True)
    # Without the interpreter's own shutdown: within milliseconds of obstore's last answer it meets a thread of obstore
    # that still runs, and sometimes (8 in 100) aborts the process.
    os._exit(0)


def cpu_seconds() -> float:
    """Processor time of this process and of the processes that it started and that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def peak_bytes() -> int:
    """The peak resident memory of this process.

    From /proc where it exists: `getrusage` of a child starts with the peak of its parent.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()
