"""The training's end of the tracking process: starts it, calls it with a time limit, ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from multiprocessing.connection import Pipe
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]
# For one call. The first imports the client's library and reaches the server for the first time.
BEGIN_SECONDS = 60.0
CALL_SECONDS = 30.0


class TrackingError(Exception):
    """A call failed, or took too long: one line that says why."""


class TrackingClient:
    """The tracking process, while the block runs. `kill` may be called from another thread."""

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
                # What a library writes to its working folder is not the job's.
                cwd=self._scratch.name,
                env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{path}" if path else str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                # A process group of its own: SIGTERM is for the training, which then says here how it ended; and what
                # a library starts is ended with it.
                start_new_session=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        # After the last call all is sent: the library's exit hooks have nothing to wait for.
        self.kill()
        self._scratch.cleanup()

    def call(self, name: str, arguments: dict[str, Any]) -> None:
        """Call the tracking process's `name`. Raises TrackingError when it fails or does not answer in time."""
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
        """End the process and all it started, at once."""
        with self._lock:
            self._killed = True
            if self._process is None:
                return
            # Not waited for yet, so the number is still this process's.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
