"""One queue of photos in front of the network: photos that wait while a batch is computed form the next batch.

A photo that arrives while the network is idle is computed at once, alone: waiting for others would only add latency.
Under load the queue fills by itself. A single thread takes from it, and the network spreads each batch over all cores:
a single photo is answered as fast as this machine can, and batches use the cores as well as one network per core.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

Photo = NDArray[np.uint8]
Probabilities = NDArray[np.float32]
Answer = asyncio.Future[Probabilities]
# SageMaker's timeout for an invocation; a batch that takes longer is considered stuck.
STUCK_SECONDS = 60.0


class StoppedError(Exception):
    """The network has stopped computing."""


class Batcher:
    """The network's thread. `predict` maps photos (N, 3, S, S) to probabilities (N, classes).

    Created and used in an event loop; only `predict` runs in the thread.
    """

    def __init__(self, predict: Callable[[Photo], Probabilities], max_batch: int) -> None:
        self._predict = predict
        self._max_batch = max_batch
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[Photo, Answer]] = deque()
        self._changed = threading.Condition()
        self._stopping = self._dead = False
        self._busy_since: float | None = None
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._thread.start()

    def submit(self, photo: Photo) -> Answer:
        """Queue a photo (3, S, S). The future has its probabilities (classes,) or the exception of `predict`.

        Raises StoppedError after the network has stopped.
        """
        answer: Answer = self._loop.create_future()
        with self._changed:
            if self._dead or self._stopping:
                raise StoppedError("the network has stopped")
            self._waiting.append((photo, answer))
            self._changed.notify()
        return answer

    @property
    def healthy(self) -> bool:
        """Whether submitted photos can be expected to be answered."""
        since = self._busy_since
        stuck = since is not None and time.monotonic() - since > STUCK_SECONDS
        return self._thread.is_alive() and not self._dead and not stuck

    def close(self, timeout: float) -> None:
        """End the thread after the queued photos; wait at most `timeout` seconds."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        batch: list[tuple[Photo, Answer]] = []
        try:
            while batch := self._next():
                self._busy_since = time.monotonic()
                results = self._compute([photo for photo, _ in batch])
                self._busy_since = None
                self._hand_out([answer for _, answer in batch], results)
        except BaseException as error:
            # Fail visibly: all waiting photos get an error, and /ping reports unhealthy.
            log.critical("the network's thread ended", exc_info=error)
            with self._changed:
                self._dead = True
                left = [answer for _, answer in (*batch, *self._waiting)]
                self._waiting.clear()
            self._hand_out(left, [StoppedError("the network's thread ended")] * len(left))

    def _next(self) -> list[tuple[Photo, Answer]]:
        """The waiting photos, at most a batch; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), self._max_batch))]

    def _compute(self, photos: Sequence[Photo]) -> Sequence[Probabilities | Exception]:
        try:
            return list(self._predict(np.stack(photos)))
        except Exception as error:
            if len(photos) == 1:
                return [error]
        # One photo may be faulty: computed one by one, only that one fails.
        return [result for photo in photos for result in self._compute([photo])]

    def _hand_out(self, answers: Sequence[Answer], results: Sequence[Probabilities | Exception]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(resolve, answers, results)


def resolve(answers: Sequence[asyncio.Future[Any]], results: Sequence[Any]) -> None:
    """Set the result or the exception of each future."""
    for answer, result in zip(answers, results, strict=True):
        if answer.done():  # its request was cancelled
            continue
        if isinstance(result, BaseException):
            answer.set_exception(result)
        else:
            answer.set_result(result)
