"""Predictions for the test split: streamed, decoded in threads, predicted in batches."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from steps.common.errors import StepError
from steps.common.evaluation import PREDICTIONS_SCHEMA
from steps.common.images import ImageError, network_input
from steps.common.predictor import Decision, Predictor, decide, expectation
from steps.common.shards import Sample

T = TypeVar("T")

# Photos kept for the report: the worst mistakes, and the first ones as they come.
KEPT_WORST = 12
KEPT_FIRST = 6


@dataclass(frozen=True)
class Shown:
    """A photo for the report."""

    image_id: str
    quantity: int
    predicted: int
    confidence: float
    jpeg: bytes = field(repr=False)

    @property
    def error(self) -> int:
        """Objects too many or too few."""
        return abs(self.quantity - self.predicted)


@dataclass
class Predictions:
    """The whole split, in the order in which it was read, without its photos but for a few."""

    image_ids: list[str] = field(default_factory=list)
    truth: list[int] = field(default_factory=list)
    probabilities: list[NDArray[np.float32]] = field(default_factory=list)
    worst: list[Shown] = field(default_factory=list)
    first: list[Shown] = field(default_factory=list)

    def table(self, classes: Sequence[int], decision: Decision) -> pa.Table:
        """`predictions.parquet`."""
        probabilities = np.concatenate(self.probabilities)
        columns = {
            "image_id": self.image_ids,
            "quantity": self.truth,
            "predicted": decide(probabilities, classes, decision),
            "expected": expectation(probabilities, classes),
            "probabilities": list(probabilities),
        }
        return pa.table(columns, schema=PREDICTIONS_SCHEMA)

    def _show(self, samples: Sequence[Sample], counts: NDArray[np.int32], probabilities: NDArray[np.float32]) -> None:
        for row, sample in enumerate(samples):
            shown = Shown(
                sample.image_id, sample.quantity, int(counts[row]), float(probabilities[row].max()), sample.jpeg
            )
            if len(self.first) < KEPT_FIRST:
                self.first.append(shown)
            if shown.error:
                self.worst.append(shown)
        # Far off and sure of it is worst.
        self.worst.sort(key=lambda shown: (-shown.error, -shown.confidence, shown.image_id))
        del self.worst[KEPT_WORST:]

    def add(
        self, samples: Sequence[Sample], probabilities: NDArray[np.float32], classes: Sequence[int], decision: Decision
    ) -> None:
        """Take in one batch."""
        self.image_ids += [sample.image_id for sample in samples]
        self.truth += [sample.quantity for sample in samples]
        self.probabilities.append(probabilities)
        self._show(samples, decide(probabilities, classes, decision), probabilities)


def predict(samples: Iterable[Sample], predictor: Predictor, decision: Decision, batch_size: int) -> Predictions:
    """Predict every sample. Raises StepError that names a photo which cannot be decoded, and when there is none."""
    description = predictor.description
    predictions = Predictions()

    def decoded(sample: Sample) -> NDArray[np.uint8]:
        try:
            return network_input(sample.jpeg, description.image_size)
        except ImageError as error:
            raise StepError(f"photo {sample.image_id} of the test split: {error}; shard the photos again") from error

    with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        for batch in _batches(samples, batch_size):
            photos = np.stack(list(threads.map(decoded, batch)))
            predictions.add(batch, predictor.probabilities(photos), description.classes, decision)
    if not predictions.truth:
        raise StepError("the test split is empty; shard the photos with a larger test fraction")
    return predictions


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    source = iter(items)
    while batch := list(itertools.islice(source, size)):
        yield batch
