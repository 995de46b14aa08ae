"""Many requests at a time, in order, and never more in memory than a window of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


def bounded_map(
    function: Callable[[Given], Made], items: Iterable[Given], *, workers: int, window: int
) -> Iterator[Made]:
    """`function` of each item, in the items' order, from `workers` threads; at most `window` results wait.

    Items are drawn as results are taken. The first exception is raised to the caller, and what has not begun by then
    is given up; so it is when the caller stops early.
    """
    waiting: deque[Future[Made]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= window:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
