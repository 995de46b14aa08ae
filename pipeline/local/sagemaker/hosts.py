"""A job's instances as child processes, and the files that SageMaker and the instances exchange."""

from __future__ import annotations

import errno
import json
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.local.machine.containers import STOP_SECONDS, Container
from pipeline.local.sagemaker.jobs import JobFailedError
from steps.contracts.full_disk import is_full


class SpotInterruptionError(Exception):
    """The job's spot instances were taken away; all have ended."""


def run_instances(
    instances: dict[str, Container],
    stop: threading.Event,
    max_seconds: float,
    tick: Callable[[], None] = lambda: None,
    interrupt: Callable[[], float | None] = lambda: None,
) -> dict[str, int]:
    """Start a job's instances by host, and wait. Returns the exit status by host; none if `stop` is set before.

    When `stop` is set or one instance fails, all are ended: a distributed job cannot continue without a member. `tick`
    and `interrupt` are called about five times per second. Raises TimeoutError after `max_seconds`, once all have
    ended, and SpotInterruptionError when `interrupt` returns the seconds of its notice.
    """
    if stop.is_set():
        return {}
    started: list[Container] = []
    try:
        for container in instances.values():
            container.start()
            started.append(container)
        return _until_end(instances, stop, max_seconds, tick, interrupt)
    except BaseException:
        # One that did not start, or a copy that failed, must not leave the others running.
        for container in started:
            if container.poll() is None:
                container.stop(0)
        raise


def _until_end(
    instances: dict[str, Container],
    stop: threading.Event,
    max_seconds: float,
    tick: Callable[[], None],
    interrupt: Callable[[], float | None],
) -> dict[str, int]:
    deadline = time.monotonic() + max_seconds
    late = False
    while any(container.poll() is None for container in instances.values()):
        late = time.monotonic() > deadline
        failed = any(container.poll() not in (None, 0) or container.output_error for container in instances.values())
        if stop.is_set() or failed or late:
            _end(list(instances.values()), 10 if failed else STOP_SECONDS)
            break
        if (notice := interrupt()) is not None:
            _end(list(instances.values()), notice)
            raise SpotInterruptionError
        tick()
        stop.wait(0.2)
    statuses = {host: container.wait(30) for host, container in instances.items()}
    for container in instances.values():
        if container.output_error is not None:
            # Metrics are read from the output: without it the job's result is not whole.
            raise container.output_error
    if late:
        raise TimeoutError
    return statuses


def _end(containers: list[Container], grace: float) -> None:
    """SIGTERM to all, SIGKILL to those that still run after `grace` seconds."""
    for container in containers:
        container.terminate()
    until = time.monotonic() + grace
    for container in containers:
        try:
            container.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            container.stop(0)


def host_names(count: int) -> list[str]:
    """SageMaker's host names: algo-1, algo-2, ..."""
    return [f"algo-{number}" for number in range(1, count + 1)]


def write_json(path: Path, value: Any) -> None:
    """Write a configuration file of the container."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def check_statuses(statuses: dict[str, int], bases: dict[str, Path], file: str) -> None:
    """Raise JobFailedError if an instance failed, with its exit status and the content of its failure file."""
    # An instance that was ended because another one failed wrote no message: those with one come first.
    failed = [host for host, status in statuses.items() if status != 0]
    failed.sort(key=lambda host: not (bases[host] / "output" / file).exists())
    if failed:
        host = failed[0]
        path = bases[host] / "output" / file
        message = path.read_text(errors="replace").strip() if path.exists() else ""
        if not message and is_full(bases[host]):
            # The container could not write its message either.
            raise OSError(errno.ENOSPC, f"exit code: {statuses[host]}", str(bases[host]))
        reason = f"AlgorithmError: {message or 'See job logs'}, exit code: {statuses[host]}"
        raise JobFailedError(reason, message)
