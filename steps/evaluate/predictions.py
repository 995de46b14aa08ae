"""Predictions for the test split: streamed, decoded in threads, predicted in batches, counted, written, forgotten."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from steps.contracts.artifact import Decision
from steps.contracts.errors import StepError
from steps.contracts.evaluation import PREDICTIONS_SCHEMA
from steps.contracts.statistics.tally import Tally
from steps.evaluate.agreement import Comparison
from steps.evaluate.baseline import Baseline
from steps.evaluate.calibration import Reliability
from steps.evaluate.golden import Golden
from steps.evaluate.mistakes import Mistakes, Shown
from steps.model.predictor import Predictor, decide, expectation
from steps.photos.jpeg import ImageError, network_input
from steps.shards.reading import Sample

T = TypeVar("T")
Photos = NDArray[np.uint8]

ROWS_A_GROUP = 8192


class Findings:
    """What there is to know of the predictions, whatever their number.

    The answers in `decisions` are those under argmax and under expected; in `champion` those of this model and of the
    champion, each under its own decision.
    """

    def __init__(self) -> None:
        self.decisions = Tally()
        self.champion = Tally()
        self.reliability = Reliability()
        self.mistakes = Mistakes()
        self.golden = Golden()
        self.baseline = Baseline()
        self.photos = 0


class _Table:
    """`predictions.parquet`, written in row groups of a useful size."""

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(path, PREDICTIONS_SCHEMA)
        self._batches: list[pa.RecordBatch] = []

    def add(self, columns: Mapping[str, object]) -> None:
        self._batches.append(pa.record_batch(columns, schema=PREDICTIONS_SCHEMA))
        if sum(batch.num_rows for batch in self._batches) >= ROWS_A_GROUP:
            self._write()

    def _write(self) -> None:
        if self._batches:
            self._writer.write_table(pa.Table.from_batches(self._batches))
            self._batches.clear()

    def __enter__(self) -> _Table:
        return self

    def __exit__(self, *_: object) -> None:
        self._write()
        self._writer.close()


def predict(
    samples: Iterable[Sample],
    predictor: Predictor,
    decision: Decision,
    *,
    batch_size: int,
    path: Path,
    agreement: Comparison,
    champion: Predictor | None = None,
) -> Findings:
    """Predict every sample, and write `predictions.parquet` to `path`.

    Raises StepError that names a photo which cannot be decoded, and when there is none.
    """
    findings = Findings()
    sizes = {one.description.image_size for one in (predictor, champion) if one}
    classes = predictor.description.classes
    with ThreadPoolExecutor(os.cpu_count() or 1) as threads, _Table(path) as table:
        for batch in _batches(samples, batch_size):
            photos = _decoded(batch, sizes, threads)
            own = photos[predictor.description.image_size]
            probabilities = predictor.probabilities(own)
            agreement.add(own, probabilities)
            counts = decide(probabilities, classes, decision)
            table.add(
                {
                    "image_id": [sample.image_id for sample in batch],
                    "quantity": [sample.quantity for sample in batch],
                    "predicted": counts,
                    "expected": expectation(probabilities, classes),
                    "probabilities": list(probabilities),
                }
            )
            _count(findings, batch, probabilities, counts, classes)
            findings.golden.add(batch, counts, probabilities, classes)
            findings.baseline.add(batch, counts, _probability_of(counts, probabilities, classes))
            if champion:
                theirs = champion.description
                answers = champion.probabilities(photos[theirs.image_size])
                findings.champion.add(_truth(batch), counts, decide(answers, theirs.classes, theirs.decision))
    if not findings.photos:
        raise StepError("the test split is empty; shard the photos with a larger test fraction")
    return findings


def _count(
    findings: Findings,
    batch: Sequence[Sample],
    probabilities: NDArray[np.float32],
    counts: NDArray[np.int32],
    classes: Sequence[int],
) -> None:
    truth, likeliest = _truth(batch), decide(probabilities, classes, "argmax")
    confidence = probabilities.max(axis=1)
    findings.photos += len(batch)
    findings.decisions.add(truth, likeliest, decide(probabilities, classes, "expected"))
    findings.reliability.add(confidence, likeliest == truth)
    findings.mistakes.add(
        Shown(sample.image_id, sample.quantity, int(counts[row]), float(confidence[row]), sample.jpeg)
        for row, sample in enumerate(batch)
        if counts[row] != sample.quantity
    )


def _probability_of(
    counts: NDArray[np.int32], probabilities: NDArray[np.float32], classes: Sequence[int]
) -> NDArray[np.float32]:
    """The probability (N,) that the model gives to each photo's count."""
    places = {quantity: place for place, quantity in enumerate(classes)}
    chosen: NDArray[np.float32] = probabilities[np.arange(len(counts)), [places[count] for count in counts.tolist()]]
    return chosen


def _truth(batch: Sequence[Sample]) -> NDArray[np.int32]:
    return np.array([sample.quantity for sample in batch], np.int32)


def _decoded(batch: Sequence[Sample], sizes: Iterable[int], threads: ThreadPoolExecutor) -> dict[int, Photos]:
    """The batch as networks take it, by their image size: (N, 3, size, size)."""

    def decode(sample: Sample, size: int) -> Photos:
        try:
            return network_input(sample.jpeg, size)
        except ImageError as error:
            raise StepError(f"photo {sample.image_id} of the test split: {error}; shard the photos again") from error

    return {size: np.stack(list(threads.map(decode, batch, itertools.repeat(size)))) for size in sizes}


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    source = iter(items)
    while batch := list(itertools.islice(source, size)):
        yield batch
