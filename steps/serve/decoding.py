"""Threads that decode outside the event loop; a stuck one is detected, and does not delay the end of the process."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from steps.serve.batching import resolve

# An accepted photo takes at most a second or two to decode.
STUCK_SECONDS = 60.0

T = TypeVar("T")
Work = tuple[Callable[..., Any], tuple[Any, ...], asyncio.Future[Any]]


class Decoders:
    """Created and used in an event loop. The threads are daemons; a process waits for the threads of an executor."""

    def __init__(self, number: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._busy_since: dict[int, float] = {}
        self._stopping = False
        self._threads = [threading.Thread(target=self._run, name=f"decode {n}", daemon=True) for n in range(number)]
        for thread in self._threads:
            thread.start()

    def submit(self, function: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
        """Call `function` in the next free thread; the future has its result or exception."""
        result: asyncio.Future[T] = self._loop.create_future()
        self._waiting.put((function, arguments, result))
        return result

    @property
    def healthy(self) -> bool:
        """Whether each thread's work can be expected to end."""
        oldest = min(list(self._busy_since.values()), default=None)
        return oldest is None or time.monotonic() - oldest <= STUCK_SECONDS

    def close(self, timeout: float) -> None:
        """End the threads after their current work, waiting at most `timeout` seconds; waiting work is dropped."""
        self._stopping = True
        for _ in self._threads:
            self._waiting.put(None)
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        own = threading.get_ident()
        while work := self._waiting.get():
            function, arguments, result = work
            if self._stopping or result.cancelled():
                continue
            self._busy_since[own] = time.monotonic()
            try:
                outcome = function(*arguments)
            except BaseException as error:
                outcome = error
            del self._busy_since[own]
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(resolve, [result], [outcome])
