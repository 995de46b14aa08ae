"""Servers in processes of their own: their pid in a file, so that one that a killed cloud left can be ended."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
from pathlib import Path

import psutil

log = logging.getLogger(__name__)

PID_FILE = "server.pid"
STOP_SECONDS = 15.0


def record(folder: Path, process: psutil.Process) -> None:
    """Write the process's pid and its time of creation into the folder."""
    (folder / PID_FILE).write_text(json.dumps({"pid": process.pid, "started": process.create_time()}))


def forget(folder: Path) -> None:
    """Remove the record of a process that has ended."""
    (folder / PID_FILE).unlink(missing_ok=True)


def end(folder: Path, name: str) -> int:
    """End the process that is recorded in the folder, if it runs. Returns the number of processes, 0 or 1."""
    try:
        left = json.loads((folder / PID_FILE).read_text())
        process = psutil.Process(left["pid"])
        if process.create_time() != left["started"]:
            return 0
    except (FileNotFoundError, json.JSONDecodeError, psutil.NoSuchProcess):
        return 0
    log.warning("stopping the %s (pid %d) that a killed process left", name, process.pid)
    terminate(process, name, STOP_SECONDS)
    return 1


def how_it_ended(process: psutil.Popen | None) -> str | None:
    """The signal or the status that ended a process; None while it runs, and for one that was not started."""
    status = process.poll() if process is not None else None
    if status is None:
        return None
    if status < 0:
        name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
        return f"{name} (out of memory?)" if -status == signal.SIGKILL else name
    return f"status {status}"


def terminate(process: psutil.Process, name: str, seconds: float) -> None:
    """End a process: SIGTERM first, SIGKILL after `seconds`."""
    try:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(seconds)
        except (psutil.TimeoutExpired, subprocess.TimeoutExpired):
            log.warning("the %s (pid %d) did not stop within %.0f s; killing it", name, process.pid, seconds)
            process.kill()
            process.wait(seconds)
    except psutil.NoSuchProcess:
        return
