"""Follows a run in this process's terminal: each line of the given file descriptor is an epoch, its end is the run's.

`python -m tests.unit.pipeline.cli.views.in_a_terminal FILE_DESCRIPTOR`
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import termios
from collections.abc import Iterator
from dataclasses import replace

import typer
from rich.console import Console

from pipeline.cli.output import goes_on
from pipeline.cli.views.runs import follow_run, going_on
from pipeline.operations.watching.snapshot import Snapshot, TrialDetail
from tests.unit.pipeline.cli.watched import SNAPSHOT, epochs


def snapshots(descriptor: int) -> Iterator[Snapshot]:
    accuracies: list[float] = []
    yield replace(SNAPSHOT, trials={})
    with os.fdopen(descriptor) as lines:
        for line in lines:
            accuracies.append(float(line))
            yield replace(SNAPSHOT, trials={"trial-3": TrialDetail("Training", 30, epochs(*accuracies))})
    execution = replace(SNAPSHOT.progress.execution, status="Succeeded")
    yield replace(SNAPSHOT, progress=replace(SNAPSHOT.progress, execution=execution))


def main() -> None:
    # Ctrl-C is a signal to the processes of the session that a terminal controls.
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    # A shell without job control lets what it starts in the background, such as these tests, ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with goes_on(*going_on("run1", "python -m pipeline")):
            follow_run(snapshots(int(sys.argv[1])), Console())
    except typer.Exit as end:
        sys.exit(end.exit_code)


if __name__ == "__main__":
    main()
