"""Threads of the local cloud: whatever ends one of them is on record, and ends what depends on it.

`threading.Thread` writes an exception to a log that nobody reads, and a pool keeps it in a future that nobody asks: a
job without its thread would be InProgress without an end. A test finds threads that are started elsewhere.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

log = logging.getLogger(__name__)

OnError = Callable[[Exception], object]


def start(name: str, work: Callable[[], object], on_error: OnError) -> threading.Thread:
    """Start a daemon thread. If `work` raises, the error is logged and `on_error` ends what depends on the thread."""
    thread = threading.Thread(target=_guarded, args=(name, work, on_error), name=name, daemon=True)
    thread.start()
    return thread


class Workers:
    """At most `number` threads for work whose result nobody waits for."""

    def __init__(self, number: int, name: str) -> None:
        self._name = name
        self._pool = ThreadPoolExecutor(number, thread_name_prefix=name)

    def submit(self, work: Callable[[], object], on_error: OnError) -> None:
        """Do the work in a thread that is free. An error is logged, and `on_error` ends what depends on the work."""
        self._pool.submit(_guarded, self._name, work, on_error)

    def close(self) -> None:
        """Wait for the work that runs; what has not begun is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def finish(self) -> None:
        """Wait for all of the work, also what has not begun."""
        self._pool.shutdown(wait=True)


def _guarded(name: str, work: Callable[[], object], on_error: OnError) -> None:
    try:
        work()
    except Exception as error:
        log.exception("the thread %s has failed", name)
        try:
            on_error(error)
        except Exception:
            log.exception("what depends on the thread %s could not be ended", name)


def nothing_depends(error: Exception) -> None:
    """`on_error` of work that stands for itself: its error is in the log."""
