"""A job's instances as child processes, and the files that SageMaker and the instances exchange."""

from __future__ import annotations

import contextlib
import errno
import json
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.local.machine.containers import STOP_SECONDS, Container
from pipeline.local.sagemaker.jobs import JobFailedError
from steps.contracts.full_disk import is_full

USAGE_SECONDS = 5.0
# Records values by metric for a resource, by its dimensions.
Publish = Callable[[Mapping[str, str], Mapping[str, Sequence[float]]], None]


class SpotInterruptionError(Exception):
    """The job's spot instances were taken away; all have ended."""


def run_instances(
    instances: dict[str, Container],
    stop: threading.Event,
    max_seconds: float,
    ticks: Sequence[Callable[[], None]] = (),
    interrupt: Callable[[], float | None] = lambda: None,
) -> dict[str, int]:
    """Start a job's instances by host, and wait. Returns the exit status by host; none if `stop` is set before.

    When `stop` is set or one instance fails, all are ended: a distributed job cannot continue without a member. `ticks`
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
        return _until_end(instances, stop, max_seconds, ticks, interrupt)
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
    ticks: Sequence[Callable[[], None]],
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
        for tick in ticks:
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


class Usage:
    """What a job's instances use, as measured, under the names of SageMaker's own metrics.

    CPUUtilization is the sum over the cores, in percent of one; MemoryUtilization is in percent of the memory:
    https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html. SageMaker measures once per minute,
    longer than most jobs here last.
    """

    def __init__(self, job: str, instances: Mapping[str, Container], publish: Publish) -> None:
        self._job, self._instances, self._publish = job, instances, publish
        self._seconds: dict[tuple[int, float], float] = {}
        self._measured = time.monotonic()

    def tick(self) -> None:
        """Measure and publish, if the last time was long enough ago."""
        elapsed = time.monotonic() - self._measured
        if elapsed < USAGE_SECONDS:
            return
        self._measured = time.monotonic()
        for host, container in self._instances.items():
            seconds, memory = self._read(container)
            values = {"CPUUtilization": 100 * seconds / elapsed, "MemoryUtilization": memory}
            self._publish({"Host": f"{self._job}/{host}"}, {name: [value] for name, value in values.items()})

    def _read(self, container: Container) -> tuple[float, float]:
        """Seconds of CPU since the last look and percent of memory, of a container's processes."""
        import psutil

        used, memory = 0.0, 0.0
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(container.pid)
            for member in (process, *process.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    key, times = (member.pid, member.create_time()), member.cpu_times()
                    seconds = times.user + times.system
                    used += seconds - self._seconds.get(key, 0.0)
                    self._seconds[key] = seconds
                    memory += member.memory_percent()
        return used, memory


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
