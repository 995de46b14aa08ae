"""Starts and stops the S3 door in a process of its own."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import psutil

from pipeline.aws.waiting import wait_until
from pipeline.local.machine import leftovers
from pipeline.local.machine.ports import LOOPBACK, is_free
from pipeline.local.s3.judge import FOLDER, Settings
from steps.contracts.errors import PipelineError

READY_SECONDS = 30.0
STOP_SECONDS = 15.0
_MODULE = "pipeline.local.s3.door"


class Door:
    """The door on 127.0.0.1:`port`, in front of the object server on `upstream_port`."""

    def __init__(self, settings: Settings, port: int, upstream_port: int) -> None:
        self.settings = settings
        self.port = port
        self.upstream_port = upstream_port
        self.endpoint = f"http://{LOOPBACK}:{port}"
        self._folder = settings.directory.absolute() / FOLDER
        self.log_file = self._folder / "door.log"
        """The process's output since its last start."""
        self._process: psutil.Popen | None = None

    def start(self) -> None:
        """Start the process and return when it accepts connections.

        Raises PipelineError if the port is taken, or if the process ends or does not listen in time.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        leftovers.end(self._folder, "S3 door")
        if not is_free(self.port):
            raise PipelineError(
                f"port {self.port} on {LOOPBACK} is taken by another process; stop it or choose another S3 port"
            )
        with self.log_file.open("wb") as output:
            # A session of its own: Ctrl-C in a terminal must not end it before the processes that write through it.
            self._process = psutil.Popen(
                [sys.executable, "-m", _MODULE],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=Path(__file__).resolve().parents[3],  # where `pipeline` is importable
                env={"PATH": "/usr/bin:/bin"},
                start_new_session=True,
            )
        values = {
            **asdict(self.settings),
            "directory": str(self.settings.directory.absolute()),
            "ports": {"listen": self.port, "upstream": self.upstream_port},
        }
        # The secret key is on no command line and in no environment.
        self._process.stdin.write(json.dumps(values).encode())
        self._process.stdin.close()
        leftovers.record(self._folder, self._process)
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def how_it_ended(self) -> str | None:
        """The signal or status that ended the process; None while it runs, and where it is stopped."""
        return leftovers.how_it_ended(self._process)

    def stop(self) -> None:
        """Stop the process and return when it has ended."""
        if self._process is not None:
            leftovers.terminate(self._process, "S3 door", STOP_SECONDS)
            self._process = None
            leftovers.forget(self._folder)

    def _wait_until_ready(self) -> None:
        def ready() -> bool | None:
            assert self._process is not None
            if self._process.poll() is not None:
                raise PipelineError(f"the S3 door ended with status {self._process.returncode}: {self._last_line()}")
            with socket.socket() as probe:
                return probe.connect_ex((LOOPBACK, self.port)) == 0 or None

        if not wait_until(ready, READY_SECONDS, 0.02):
            raise PipelineError(f"the S3 door did not listen within {READY_SECONDS:.0f} s: {self._last_line()}")

    def _last_line(self) -> str:
        return (self.log_file.read_text(errors="replace").strip().splitlines() or ["it printed nothing"])[-1]


def end_leftover(directory: Path) -> int:
    """End the door that a killed cloud left on its folder. Returns the number of doors, 0 or 1."""
    return leftovers.end(directory / FOLDER, "S3 door")
