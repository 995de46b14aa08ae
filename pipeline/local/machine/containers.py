"""Containers as child processes: an image's source on PYTHONPATH, `/opt/ml` replaced by SAGEMAKER_BASE_DIR."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.local import threads
from pipeline.local.context import Context
from pipeline.local.machine import layer, processes

log = logging.getLogger(__name__)

OPT_ML = "/opt/ml"
# /opt/ml as the beginning of a path, also within a word: `--data=/opt/ml/input`, `sh -c "ls /opt/ml"`.
_PATH = re.compile(rf"(?<![\w./-]){OPT_ML}(?=/|[^\w.-]|$)")
# Between SIGTERM and SIGKILL, as for StopTrainingJob and a spot interruption:
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StopTrainingJob.html
STOP_SECONDS = 120


def inside(base: Path, path: str) -> Path:
    """The path on this machine of a container's path below /opt/ml. Raises ValueError for other paths."""
    if path != OPT_ML and not path.startswith(f"{OPT_ML}/"):
        raise ValueError(f"{path} is not below {OPT_ML}")
    if ".." in path.split("/"):
        raise ValueError(f"{path} leaves {OPT_ML}")
    return base / path[len(OPT_ML) + 1 :]


def moved(base: Path, words: list[str]) -> list[str]:
    """The words of a command that a request has, its paths below /opt/ml replaced by those on this machine.

    Two jobs at a time have a folder of their own each, so there is no /opt/ml here.
    """
    return [_PATH.sub(lambda _: str(base), word) for word in words]


@dataclass
class Container:
    """One process in a session of its own, so that a signal reaches its children. `on_line` gets its output."""

    context: Context
    base: Path
    image: Path
    command: list[str]
    on_line: Callable[[str], None]
    environment: dict[str, str] = field(default_factory=dict)
    packages: Path | None = None
    """The virtual environment with the image's packages; None for the local cloud's own."""
    credentials: Callable[[], dict[str, str]] = dict
    """Called at the start: variables of the container's credentials."""
    on_end: Callable[[dict[str, str]], None] = lambda _: None
    """Called with these variables once the process has ended, or could not start."""

    def start(self) -> None:
        """Start the process, with the mark by which `processes` finds it and its children."""
        self.base.mkdir(parents=True, exist_ok=True)
        self._credentials = self.credentials()
        try:
            self._start()
        except BaseException:
            self.on_end(self._credentials)
            raise

    @property
    def _python(self) -> Path:
        """The folder of the container's own Python environment, which is not a part of its /opt/ml."""
        return self.base.with_name(f"{self.base.name}.python")

    def _start(self) -> None:
        shutil.rmtree(self._python, ignore_errors=True)  # a killed cloud's
        environment = {
            **self.context.child_environment(layer.create(self._python, self.packages)),
            # The other packages of the project, which its tests have besides, are not in the image.
            **({"IMAGE_ALONE": "1"} if self.packages else {}),
            "SAGEMAKER_BASE_DIR": str(self.base),
            "PYTHONPATH": str(self.image),
            "PYTHONDONTWRITEBYTECODE": "1",
            # Threads of PyTorch wait for each other busily, as if the cores were theirs; here all jobs share them.
            "OMP_WAIT_POLICY": "PASSIVE",
            **self.environment,
            **self._credentials,
            processes.MARK: str(self.base),
        }
        self._left_ended = False
        self.output_error: Exception | None = None
        """Why lines of its output could not be handled; the process runs on."""
        self._process = subprocess.Popen(
            self.command,
            cwd=self.image,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        self._pump = threads.start(f"output of {self.base.name}", self._read_output, self._lose_output)

    def _read_output(self) -> None:
        """Handle each line. An error must not end this: a process whose output nobody reads is never done."""
        assert self._process.stdout is not None
        lost = 0
        for line in self._process.stdout:
            try:
                if lost:
                    self.on_line(f"{lost} lines of this log are lost: {self.output_error}")
                    lost = 0
                self.on_line(line.rstrip("\n"))
            except Exception as error:
                if self.output_error is None:
                    log.exception("the output of %s", self.base)
                self.output_error = error
                lost += 1

    def _lose_output(self, error: Exception) -> None:
        """End a process whose output cannot be read any more."""
        self.output_error = error
        self._signal_group(signal.SIGKILL)

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    def poll(self) -> int | None:
        """Exit status, or None while it runs. The processes that it left are ended."""
        status = self._process.poll()
        if status is not None:
            self._end_left()
        return status

    def _end_left(self) -> None:
        """End the processes that it left, once, as soon as it has ended: later its id may be another process's."""
        if not self._left_ended:
            self._left_ended = True
            processes.end(self.base, self._process.pid)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the process, end those that it left, and wait for the end of the output.

        Raises subprocess.TimeoutExpired.
        """
        status = self._process.wait(timeout)
        self._end_left()
        self._pump.join(timeout=10)
        shutil.rmtree(self._python, ignore_errors=True)
        self.on_end(self._credentials)
        return status

    def terminate(self) -> None:
        """Send SIGTERM to the process and its children."""
        self._signal_group(signal.SIGTERM)

    def stop(self, seconds: float = STOP_SECONDS) -> int:
        """Send SIGTERM, and SIGKILL to the processes that still run after `seconds`. Returns the exit status."""
        self.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        self._signal_group(signal.SIGKILL)
        return self.wait(30)

    def _signal_group(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)


def end_leftovers(directory: Path) -> int:
    """End the processes of containers and functions that a killed cloud left. Returns their number."""
    # Not those of all folders below it: another cloud may be in one.
    return sum(processes.end(directory / folder) for folder in ("jobs", "endpoints", "functions"))
