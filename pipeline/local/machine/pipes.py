"""Channels in Pipe mode: a named pipe per epoch, through which the objects of S3 flow one after another.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html: the pipe of a
channel and an epoch is /opt/ml/input/data/CHANNEL_EPOCH, the first epoch is 0, and a pipe is read to its end before
the next one is opened.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from pipeline.local import threads

log = logging.getLogger(__name__)

POLL_SECONDS = 0.05  # between two looks for a reader
EPOCHS = 1_000_000


class Pipe:
    """One channel of one instance. `stream` returns the bytes of an epoch, in parts of any length."""

    def __init__(self, path: Path, stream: Callable[[int], Iterable[bytes]]) -> None:
        self._path = path
        self._stream = stream
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.error: Exception | None = None
        """What ended the stream before its reader did; the reader then sees the end of a file."""

    def start(self) -> None:
        """Make the pipe of the first epoch, and begin to wait for its reader."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._make(0)
        self._thread = threads.start(f"pipe {self._path.name}", self._run, self._fail)

    def stop(self) -> None:
        """End the stream, and remove the pipe that waits for a reader."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(10)

    def _fail(self, error: Exception) -> None:
        self.error = self.error or error

    def _make(self, epoch: int) -> Path:
        path = self._path.with_name(f"{self._path.name}_{epoch}")
        if not path.exists():
            os.mkfifo(path)
        return path

    def _run(self) -> None:
        for epoch in range(EPOCHS):
            path = self._make(epoch)
            if (pipe := self._open(path)) is None:
                path.unlink(missing_ok=True)
                return
            try:
                # The next pipe exists before this one ends: a reader may open it at once.
                self._make(epoch + 1)
                self._send(pipe, epoch)
            except BrokenPipeError:
                log.info("%s was closed before its end", path)
            except Exception as error:
                log.exception("%s", path)
                self._fail(error)
            finally:
                os.close(pipe)

    def _open(self, path: Path) -> int | None:
        """The pipe, once it has a reader; None when the stream is ended."""
        while not self._ended.is_set():
            try:
                return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
            self._ended.wait(POLL_SECONDS)
        return None

    def _send(self, pipe: int, epoch: int) -> None:
        for part in self._stream(epoch):
            rest = memoryview(part)
            while rest:
                if self._ended.is_set():
                    return
                _, ready, _ = select.select([], [pipe], [], POLL_SECONDS)
                if ready:
                    with contextlib.suppress(BlockingIOError):
                        rest = rest[os.write(pipe, rest) :]
