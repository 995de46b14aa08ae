"""Containers as child processes: an image's source on PYTHONPATH, `/opt/ml` moved by SAGEMAKER_BASE_DIR."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.local.context import Context

OPT_ML = "/opt/ml"
# Between SIGTERM and SIGKILL, as StopTrainingJob and a spot interruption give it:
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StopTrainingJob.html
STOP_SECONDS = 120


def inside(base: Path, path: str) -> Path:
    """Where the container's `path`, which lies below /opt/ml, is on this machine."""
    if path != OPT_ML and not path.startswith(f"{OPT_ML}/"):
        raise ValueError(f"{path} is not below {OPT_ML}")
    if ".." in path.split("/"):
        raise ValueError(f"{path} leaves {OPT_ML}")
    return base / path[len(OPT_ML) + 1 :]


@dataclass
class Container:
    """One process with its own session, so that a signal reaches all it started. Output goes to `on_line`."""

    context: Context
    base: Path
    image: Path
    command: list[str]
    on_line: Callable[[str], None]
    environment: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        """Start the process; its pid is kept in the base folder, so that a crashed cloud's children can be found."""
        self.base.mkdir(parents=True, exist_ok=True)
        environment = {
            **self.context.child_environment(),
            "SAGEMAKER_BASE_DIR": str(self.base),
            "PYTHONPATH": str(self.image),
            "PYTHONDONTWRITEBYTECODE": "1",
            **self.environment,
        }
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
        (self.base / "pid").write_text(str(self._process.pid))
        self._pump = threading.Thread(target=self._read_output, daemon=True, name=f"output of {self.base.name}")
        self._pump.start()

    def _read_output(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.on_line(line.rstrip("\n"))

    def poll(self) -> int | None:
        """Exit status, or None while it runs."""
        return self._process.poll()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and for the last of the output. Raises subprocess.TimeoutExpired."""
        status = self._process.wait(timeout)
        self._pump.join(timeout=10)
        (self.base / "pid").unlink(missing_ok=True)
        return status

    def terminate(self) -> None:
        """Send SIGTERM to the process and all it started."""
        _signal_group(self._process.pid, signal.SIGTERM)

    def stop(self, seconds: float = STOP_SECONDS) -> int:
        """SIGTERM, then SIGKILL to what is still there after `seconds`."""
        self.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        _signal_group(self._process.pid, signal.SIGKILL)
        return self.wait(30)


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def end_leftovers(directory: Path) -> int:
    """End the children of a cloud that died without ending them; a pid counts only while its process is ours."""
    import psutil

    ended = 0
    for file in (*directory.glob("jobs/*/*/*/pid"), *directory.glob("endpoints/*/*/pid")):
        with contextlib.suppress(psutil.Error, ValueError):
            pid = int(file.read_text())
            if psutil.Process(pid).environ().get("SAGEMAKER_BASE_DIR") == str(file.parent):
                _signal_group(pid, signal.SIGKILL)
                ended += 1
        file.unlink(missing_ok=True)
    return ended
