"""A contender in a process of its own: nothing that another one left in memory helps or hinders it.

A contender is a function that imports and prepares what it needs and returns the work; only the work is timed.
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

# The work may give figures of its own.
Work = Callable[[], dict[str, float] | None]


class ContenderError(Exception):
    """A contender did not do its work; what it printed on stderr says why."""


@dataclass(frozen=True)
class Measured:
    """What the work took: seconds by the clock and of its processor time, and the process's peak resident memory.

    `figures` are those that it measured itself.
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
    """Run the work of `contender(**arguments)` in a new interpreter, `environment` laid over this process's own.

    `arguments` travel as JSON; `python` is another environment's interpreter. Raises ContenderError when it fails.
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
    """Do the work that the command line names, and print what it took."""
    logging.disable(logging.WARNING)  # what a step says about its photos is of no interest here
    module, _, name = sys.argv[1].partition(":")
    work: Work = getattr(importlib.import_module(module), name)(**json.loads(sys.argv[2]))
    started, cpu_started = time.perf_counter(), time.process_time()
    figures = work() or {}
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    print(json.dumps(asdict(Measured(seconds, cpu_seconds, peak_bytes(), figures))), flush=True)
    # Without the interpreter's own end: one that comes within milliseconds of obstore's last answer finds the thread
    # that brought it still at work, and now and then (8 in 100) aborts the process.
    os._exit(0)


def peak_bytes() -> int:
    """This process's peak resident memory.

    From /proc where there is one: `getrusage` starts a child with the peak of the parent that it was forked from.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()
