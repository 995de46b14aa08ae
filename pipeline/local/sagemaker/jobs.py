"""What processing and training jobs have in common: instances as child processes, logs, failure reasons."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.local.context import Context
from pipeline.local.logs import Logs
from pipeline.local.machine.containers import Container
from pipeline.local.machine.image_store import ImageRegistry
from pipeline.local.store import Store

log = logging.getLogger(__name__)

TERMINAL = ("Completed", "Failed", "Stopped")
# A failure reason's length in DescribeTrainingJob and DescribeProcessingJob.
REASON_LIMIT = 1024


class JobFailedError(Exception):
    """The job failed; the message is its FailureReason, `exit_message` what its container left to say."""

    def __init__(self, reason: str, exit_message: str = "") -> None:
        super().__init__(reason)
        self.exit_message = exit_message


class JobServices:
    """What a job needs of the cloud around it."""

    def __init__(self, context: Context, logs: Logs, registry: ImageRegistry) -> None:
        self.context = context
        self.logs = logs
        self.registry = registry
        self.s3 = context.client("s3")

    def folder(self, kind: str, name: str) -> Path:
        """An empty folder for a job's instances."""
        folder = self.context.directory / "jobs" / kind / name
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        return folder

    def discard(self, kind: str, name: str) -> None:
        """Remove the folder of a job that ended well: all it made is in S3. That of a failed one stays to look into."""
        shutil.rmtree(self.context.directory / "jobs" / kind / name, ignore_errors=True)


class Instances:
    """The instances of one job: started together, ended together when one fails or the job is stopped."""

    def __init__(self) -> None:
        self._containers: dict[str, Container] = {}
        self._stop = threading.Event()

    def add(self, host: str, container: Container) -> None:
        """Add an instance."""
        self._containers[host] = container

    def stop(self) -> None:
        """Ask for the end; `run` does the ending."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether the end was asked for."""
        return self._stop.is_set()

    def run(self, max_seconds: float, tick: Callable[[], None] = lambda: None) -> dict[str, int]:
        """Start all and wait; gives exit status by host. `tick` is called about twice a second.

        When one ends with an error the others are ended too: a distributed job cannot go on without a member.
        Raises TimeoutError after `max_seconds`, once all have ended.
        """
        if self._stop.is_set():
            return {}
        for container in self._containers.values():
            container.start()
        deadline = time.monotonic() + max_seconds
        late = False
        while any(container.poll() is None for container in self._containers.values()):
            late = time.monotonic() > deadline
            failed = any(container.poll() not in (None, 0) for container in self._containers.values())
            if self._stop.is_set() or failed or late:
                # Ended one after another, with one grace period for all.
                for container in self._containers.values():
                    container.terminate()
                self._end(10 if failed else 120)
                break
            tick()
            self._stop.wait(0.2)
        statuses = {host: container.wait(30) for host, container in self._containers.items()}
        if late:
            raise TimeoutError
        return statuses

    def _end(self, grace: float) -> None:
        until = time.monotonic() + grace
        for container in self._containers.values():
            try:
                container.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                container.stop(0)


def begin_to_stop(store: Store, kind: str, name: str, status: str) -> bool:
    """Set the job's `status` to Stopping unless it has ended meanwhile; says whether it was set."""
    begun = False

    def change(document: dict[str, Any]) -> None:
        nonlocal begun
        begun = document[status] == "InProgress"
        if begun:
            document[status], document["LastModifiedTime"] = "Stopping", time.time()

    store.update(kind, name, change)
    return begun


def hosts(count: int) -> list[str]:
    """Host names as SageMaker gives them."""
    return [f"algo-{number}" for number in range(1, count + 1)]


def write_json(path: Path, value: Any) -> None:
    """Write a configuration file of the container."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def exit_message(statuses: dict[str, int], bases: dict[str, Path], file: str) -> tuple[str, int]:
    """What the first failed instance wrote to its failure file, and its exit status."""
    # An instance that was ended because another one failed has nothing to say: the ones with a message come first.
    failed = [host for host, status in statuses.items() if status != 0]
    failed.sort(key=lambda host: not (bases[host] / "output" / file).exists())
    path = bases[failed[0]] / "output" / file
    message = path.read_text(errors="replace").strip() if path.exists() else ""
    return message, statuses[failed[0]]
