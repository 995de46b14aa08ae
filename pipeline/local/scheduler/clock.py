"""A thread that runs tasks at their time."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from pipeline.local import threads

log = logging.getLogger(__name__)

# The longest sleep: a change of the system's clock, or a suspension, is noticed after this time.
LONGEST_WAIT_SECONDS = 30.0


class Clock:
    """Tasks by their time. Tasks must be short: they run one after another."""

    def __init__(self, name: str) -> None:
        self._changed = threading.Condition()
        self._tasks: list[tuple[datetime, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._closed = False
        self._name = name
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threads.start(self._name, self._run, threads.nothing_depends)

    def at(self, time: datetime, task: Callable[[], None]) -> None:
        """Run `task` at `time` (UTC), or at once if it is past."""
        with self._changed:
            heapq.heappush(self._tasks, (time, next(self._order), task))
            self._changed.notify()

    def close(self) -> None:
        """End after the task that runs; no other task starts."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while (task := self._next()) is not None:
            try:
                task()
            except Exception:
                # A failure must not prevent the other tasks.
                log.exception("a scheduled task failed")

    def _next(self) -> Callable[[], None] | None:
        """Wait for the first task that is due; None once the clock is closed."""
        with self._changed:
            while not self._closed:
                wait = LONGEST_WAIT_SECONDS
                if self._tasks:
                    wait = (self._tasks[0][0] - datetime.now(UTC)).total_seconds()
                    if wait <= 0:
                        return heapq.heappop(self._tasks)[2]
                self._changed.wait(min(wait, LONGEST_WAIT_SECONDS))
            return None
