"""Many requests at a time, with the results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
# Parallel requests of `parallel_map`: few, and a client that is throttled retries (pipeline.clients).
THREADS = 8


def parallel_map(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """The results of `function` in the items' order, from THREADS threads."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(function, items))


def bounded_map(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int, window: int
) -> Iterator[Result]:
    """The results of `function` in the items' order, from `workers` threads; at most `window` results wait.

    Items are read as results are used. The first exception is raised to the caller; work that has not begun by then is
    cancelled, as it is when the caller stops early.
    """
    waiting: deque[Future[Result]] = deque()
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
