"""Photos to counts: decoded in threads outside the event loop, then computed in batches."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import numpy as np

from steps.contracts.invocation import JSON_TYPE
from steps.model.calibration import confidence_of, is_sure, prediction_sets
from steps.model.predictor import Predictor, decide, expectation
from steps.photos.jpeg import ImageError, network_input
from steps.serve.batching import Batcher, Photo, Probabilities, StoppedError
from steps.serve.decoding import Decoders
from steps.serve.payload import Payload, RefusedError, read_payload
from steps.serve.settings import ServingSettings

TOO_LARGE = "too-large"
CLOSING_SECONDS = 5.0  # for all threads together


class Counter:
    """The model and its threads; created in the event loop that uses it."""

    def __init__(self, predictor: Predictor, settings: ServingSettings) -> None:
        self._description = predictor.description
        self._version = settings.model_version
        self._decoders = Decoders(settings.decoders)
        self._batcher = Batcher(predictor.probabilities, settings.max_batch)

    @property
    def healthy(self) -> bool:
        """Whether photos are decoded and counted."""
        return self._decoders.healthy and self._batcher.healthy

    async def read(self, kind: str, body: bytes) -> Payload:
        """The photos of a body; JSON, which may have megabytes, is read in a thread. Raises RefusedError."""
        if kind != JSON_TYPE:
            return read_payload(kind, body)
        return await self._decoders.submit(read_payload, kind, body)

    async def count(self, payload: Payload) -> dict[str, Any]:
        """The answer to a request: for all of its photos or, if one is refused, for none.

        Raises RefusedError that names the first bad photo (400, or 413 for its size), or 503 after the network stopped.
        """
        decoding = [
            self._decoders.submit(self._decode, name, photo)
            for name, photo in zip(payload.names, payload.photos, strict=True)
        ]
        photos = _all_or_first_error(await asyncio.gather(*decoding, return_exceptions=True))
        try:
            computing = [self._batcher.submit(photo) for photo in photos]
            rows = _all_or_first_error(await asyncio.gather(*computing, return_exceptions=True))
        except StoppedError as error:
            raise RefusedError(503, str(error)) from None
        answers = [self._answer(row) for row in rows]
        return {"predictions": answers} if payload.many else answers[0]

    def close(self) -> None:
        """Wait at most CLOSING_SECONDS for the current work."""
        deadline = time.monotonic() + CLOSING_SECONDS
        self._decoders.close(CLOSING_SECONDS)
        self._batcher.close(max(0.0, deadline - time.monotonic()))

    def _decode(self, name: str, photo: bytes) -> Photo:
        try:
            return network_input(photo, self._description.image_size)
        except ImageError as error:
            where = f"{name}: " if name else ""
            raise RefusedError(413 if error.reason == TOO_LARGE else 400, f"{where}{error}") from None

    def _answer(self, row: Probabilities) -> dict[str, Any]:
        classes = self._description.classes
        probabilities = row[np.newaxis]
        counts = decide(probabilities, classes, self._description.decision)
        confidence = confidence_of(counts, probabilities, classes)
        answer = {
            "count": int(counts[0]),
            "probabilities": {
                str(quantity): round(float(value), 6) for quantity, value in zip(classes, row, strict=True)
            },
            "expected": round(float(expectation(probabilities, classes)[0]), 6),
            "model_version": self._version,
            "confidence": round(float(confidence[0]), 6),
        }
        if calibration := self._description.calibration:
            members = prediction_sets(probabilities, counts, classes, calibration)[0]
            answer["sure"] = bool(is_sure(confidence, calibration)[0])
            answer["prediction_set"] = [quantity for quantity, is_in in zip(classes, members, strict=True) if is_in]
        return answer


def warm_up(predictor: Predictor, max_batch: int) -> None:
    """Predict at each batch size, so that no request waits for the first allocation of memory for its size."""
    size = predictor.description.image_size
    for photos in range(1, max_batch + 1):
        predictor.probabilities(np.zeros((photos, 3, size, size), np.uint8))


def _all_or_first_error(results: list[Any]) -> list[Any]:
    """The results, or the first error among them; called after all work of the request has ended."""
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results
