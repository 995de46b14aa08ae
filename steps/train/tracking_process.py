"""Both ends of the tracking process, in which MLflow's or Weights & Biases' client runs.

The training's end, `TrackingClient`, starts `python -m steps.train.tracking_process FD` and calls it over the socket
FD: each call is JSON, and its answer an error or none. The process ends when the training closes the socket.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, Self

from steps.train.tracking_services import MlflowRun, Run, Service, WandbRun, begin

ROOT = Path(__file__).parents[2]
# Limits of one call. The first call imports the client's library and connects to the server.
BEGIN_SECONDS = 60.0
CALL_SECONDS = 30.0
# The training's end gives up a longer call; if that end no longer exists, this limit ends the process.
ALARM_SECONDS = 90
ERROR_LENGTH = 400


class TrackingError(Exception):
    """A call failed or took too long; the message is one line with the reason."""


class TrackingClient:
    """The training's end: the tracking process while the block runs. Another thread may call `kill`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._killed = False
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._scratch = tempfile.TemporaryDirectory(prefix="tracking-", ignore_cleanup_errors=True)
        self._connection, theirs = Pipe()
        path = os.environ.get("PYTHONPATH", "")
        with self._lock, theirs:
            if self._killed:
                return self
            self._process = subprocess.Popen(
                [sys.executable, "-m", "steps.train.tracking_process", str(theirs.fileno())],
                # Libraries write to their working folder, which must not be the job's.
                cwd=self._scratch.name,
                env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{path}" if path else str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                # A process group of its own: SIGTERM is for the training, which then reports its end here; and the
                # children of a library end with the group.
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        # The last call has sent everything, so the library's exit hooks are not needed.
        self.kill()
        self._scratch.cleanup()

    def call(self, name: str, arguments: dict[str, Any]) -> None:
        """Call `name` in the tracking process. Raises TrackingError when it fails or does not answer in time."""
        limit = BEGIN_SECONDS if name == "begin" else CALL_SECONDS
        try:
            self._connection.send_bytes(json.dumps({"name": name, "arguments": arguments}).encode())
            if not self._connection.poll(limit):
                raise TrackingError(f"it did not answer within {limit:.0f} seconds")
            error = json.loads(self._connection.recv_bytes())["error"]
        except (EOFError, ConnectionError):
            raise TrackingError("its process ended") from None
        if error:
            raise TrackingError(error)

    def kill(self) -> None:
        """End the process and its children at once."""
        with self._lock:
            self._killed = True
            if self._process is None:
                return
            # The process was not waited for, so its number is still valid.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


class Calls:
    """The process's end: answers calls about one run."""

    def __init__(self) -> None:
        self._run: MlflowRun | WandbRun | None = None
        self._secrets: list[str] = []

    def answer(self, message: bytes) -> bytes:
        """Execute one call. Returns `{"error": null}` or `{"error": "REASON"}`."""
        call = json.loads(message)
        try:
            self._execute(call["name"], call["arguments"])
        except Exception as error:
            return json.dumps({"error": self._reason(error)}).encode()
        return json.dumps({"error": None}).encode()

    def _execute(self, name: str, arguments: dict[str, object]) -> None:
        match name, arguments:
            case "begin", {"service": dict(service), "run": dict(run)}:
                self._run = begin(Service(**service), Run(**run), self._secrets.append)
            case "log", {"epoch": int(epoch), "metrics": dict(metrics)} if self._run:
                self._run.log(epoch, metrics)
            case "finish", {"best": dict(best), "status": "finished" | "failed" | "stopped" as status} if self._run:
                self._run.finish(best, status)
            case _:
                raise ValueError(f"unknown call {name}")

    def _reason(self, error: Exception) -> str:
        """The first line of an error, without secrets."""
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text[:ERROR_LENGTH]


def main() -> None:
    """Answer calls until the training closes the socket."""
    # The training has precedence on this machine.
    os.nice(10)
    calls = Calls()
    with Connection(int(sys.argv[1])) as connection:
        while True:
            try:
                message = connection.recv_bytes()
            except EOFError:
                return
            # The default action of SIGALRM ends the process, also one that hangs in a library.
            signal.alarm(ALARM_SECONDS)
            answer = calls.answer(message)
            signal.alarm(0)
            connection.send_bytes(answer)


if __name__ == "__main__":
    main()
