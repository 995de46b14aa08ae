"""Predictions for the test split: photos are streamed, decoded in threads, predicted in batches and not kept."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from steps.contracts.artifact import Decision, ModelDescription
from steps.contracts.errors import StepError
from steps.contracts.evaluation import PREDICTIONS_SCHEMA
from steps.contracts.statistics.tally import Tally
from steps.evaluate.artifact import AgreementCheck
from steps.evaluate.metrics import Reliability
from steps.evaluate.photo_samples import Baseline, Golden, Miscount, Miscounts
from steps.evaluate.selective import Selection
from steps.model.calibration import confidence_of, is_sure, prediction_sets
from steps.model.predictor import Predictor, decide, expectation
from steps.photos.jpeg import ImageError, network_input
from steps.shards.reading import ALL_AGAIN, Sample

Photos = NDArray[np.uint8]

ROWS_PER_GROUP = 8192


class PredictionResults:
    """Tallies and samples of the predictions, of the same size for any number of photos.

    The answers in `decisions` are the counts under argmax and under expected; in `pairs` the counts of this model and
    of the champion, each under its own decision.
    """

    def __init__(self, description: ModelDescription) -> None:
        self.decisions = Tally()
        self.selection = Selection(description.calibration, description.classes)
        self.pairs = Tally()
        self.reliability = Reliability()
        self.miscounts = Miscounts()
        self.golden = Golden()
        self.baseline = Baseline()
        self.photos = 0


class _Table:
    """`predictions.parquet`, written in row groups of ROWS_PER_GROUP."""

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(path, PREDICTIONS_SCHEMA)
        self._batches: list[pa.RecordBatch] = []

    def add(self, columns: Mapping[str, object]) -> None:
        self._batches.append(pa.record_batch(columns, schema=PREDICTIONS_SCHEMA))
        if sum(batch.num_rows for batch in self._batches) >= ROWS_PER_GROUP:
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
    agreement: AgreementCheck,
    champion: Predictor | None = None,
) -> PredictionResults:
    """Predict every sample, and write `predictions.parquet` to `path`.

    Raises StepError for a photo that cannot be decoded, which it names, and for an empty test split.
    """
    results = PredictionResults(predictor.description)
    sizes = {model.description.image_size for model in (predictor, champion) if model}
    classes = predictor.description.classes
    with ThreadPoolExecutor(os.cpu_count() or 1) as threads, _Table(path) as table:
        remaining = iter(samples)
        while batch := list(itertools.islice(remaining, batch_size)):
            photos = _decoded(batch, sizes, threads)
            own = photos[predictor.description.image_size]
            probabilities = predictor.probabilities(own)
            agreement.add(own, probabilities)
            counts = decide(probabilities, classes, decision)
            confidence = confidence_of(counts, probabilities, classes)
            sure = sets = None
            if calibration := predictor.description.calibration:
                sure, sets = (
                    is_sure(confidence, calibration),
                    prediction_sets(probabilities, counts, classes, calibration),
                )
            results.selection.add(_truth(batch), counts, confidence, sure, sets)
            table.add(
                {
                    "image_id": [sample.image_id for sample in batch],
                    "quantity": [sample.quantity for sample in batch],
                    "predicted": counts,
                    "expected": expectation(probabilities, classes),
                    "probabilities": list(probabilities),
                    "confidence": confidence,
                    "sure": [None] * len(batch) if sure is None else sure,
                    "prediction_set": [None] * len(batch) if sets is None else _members(sets, classes),
                }
            )
            _count(results, batch, probabilities, counts, classes)
            results.golden.add(batch, counts, probabilities, classes)
            results.baseline.add(batch, counts, confidence, predictor.description.calibration)
            if champion:
                other = champion.description
                answers = champion.probabilities(photos[other.image_size])
                results.pairs.add(_truth(batch), counts, decide(answers, other.classes, other.decision))
    if not results.photos:
        raise StepError("the test split is empty; shard the photos with a larger test fraction")
    return results


def _count(
    results: PredictionResults,
    batch: Sequence[Sample],
    probabilities: NDArray[np.float32],
    counts: NDArray[np.int32],
    classes: Sequence[int],
) -> None:
    truth, likeliest = _truth(batch), decide(probabilities, classes, "argmax")
    confidence = probabilities.max(axis=1)
    results.photos += len(batch)
    results.decisions.add(truth, likeliest, decide(probabilities, classes, "expected"))
    results.reliability.add(confidence, likeliest == truth)
    results.miscounts.add(
        Miscount(sample.image_id, sample.quantity, int(counts[row]), float(confidence[row]), sample.jpeg)
        for row, sample in enumerate(batch)
        if counts[row] != sample.quantity
    )


def _members(sets: NDArray[np.bool_], classes: Sequence[int]) -> list[list[int]]:
    """The counts in each set (N, classes)."""
    return [[quantity for quantity, is_in in zip(classes, row, strict=True) if is_in] for row in sets]


def _truth(batch: Sequence[Sample]) -> NDArray[np.int32]:
    return np.array([sample.quantity for sample in batch], np.int32)


def _decoded(batch: Sequence[Sample], sizes: Iterable[int], threads: ThreadPoolExecutor) -> dict[int, Photos]:
    """The batch as network inputs (N, 3, size, size), by image size."""

    def decode(sample: Sample, size: int) -> Photos:
        try:
            return network_input(sample.jpeg, size)
        except ImageError as error:
            raise StepError(f"photo {sample.image_id} of the test split: {error}; {ALL_AGAIN}") from error

    return {size: np.stack(list(threads.map(decode, batch, itertools.repeat(size)))) for size in sizes}
