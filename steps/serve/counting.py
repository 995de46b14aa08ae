"""Photos to counts: decoded and predicted in threads, never more at a time than the server can hold."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from steps.common.images import ImageError, network_input
from steps.common.predictor import Predictor, decide, expectation
from steps.serve.payload import Payload, RefusedError

# Requests in work or waiting; one more is refused, since it would only wait longer than its client does.
MAX_WAITING = 64
TOO_LARGE = "too-large"


class Counter:
    """The model, and the threads that it runs in."""

    def __init__(self, predictor: Predictor, model_version: str) -> None:
        self._predictor = predictor
        self._version = model_version
        self._waiting = 0
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="count")

    def warm_up(self) -> None:
        """Predict once, so that the first request does not pay for it."""
        size = self._predictor.description.image_size
        self._predictor.probabilities(np.zeros((1, 3, size, size), np.uint8))

    async def count(self, payload: Payload) -> dict[str, Any]:
        """The answer to a request. Raises RefusedError: 400 and 413 for a photo, 503 when there is too much to do."""
        if self._waiting >= MAX_WAITING:
            raise RefusedError(503, "too many requests at a time; try again in a second")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._answer, payload)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Wait for what is in work."""
        self._threads.shutdown(wait=True)

    def _answer(self, payload: Payload) -> dict[str, Any]:
        description = self._predictor.description
        batch = np.stack([self._decoded(number, photo, payload) for number, photo in enumerate(payload.photos)])
        probabilities = self._predictor.probabilities(batch)
        counts = decide(probabilities, description.classes, description.decision)
        expected = expectation(probabilities, description.classes)
        answers = [
            {
                "count": int(counts[row]),
                "probabilities": {
                    str(quantity): round(float(value), 6)
                    for quantity, value in zip(description.classes, probabilities[row], strict=True)
                },
                "expected": round(float(expected[row]), 6),
                "model_version": self._version,
            }
            for row in range(len(counts))
        ]
        return {"predictions": answers} if payload.many else answers[0]

    def _decoded(self, number: int, photo: bytes, payload: Payload) -> np.ndarray[Any, np.dtype[np.uint8]]:
        try:
            return network_input(photo, self._predictor.description.image_size)
        except ImageError as error:
            where = f"images[{number}]: " if payload.many else ""
            raise RefusedError(413 if error.reason == TOO_LARGE else 400, f"{where}{error}") from None
