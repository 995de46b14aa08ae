"""Metrics of counts, computed from the confusion matrix, and the calibration of their probabilities.

Precision, recall and F-scores are weighted by the classes' photos, and a class that is never predicted has precision
0: scikit-learn's `average="weighted"` with `zero_division=0`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steps.contracts.evaluation import (
    Calibration,
    ClassificationMetrics,
    ClassReport,
    Metric,
    RegressionMetrics,
    ReliabilityBin,
    Score,
)
from steps.contracts.statistics.tally import Confusion

SAMPLES = 5
SAMPLE_SHARE = 0.8
SEED = 1
# As in https://arxiv.org/abs/1706.04599
CALIBRATION_BINS = 15

Floats = NDArray[np.float64]


def accuracy(confusion: Confusion) -> float:
    """Share of photos counted right."""
    return float(np.trace(confusion.photos) / confusion.total)


def accuracy_within_one(confusion: Confusion) -> float:
    """Share of photos that are miscounted by at most one object."""
    return _mean(confusion, _errors(confusion) <= 1)


def mae(confusion: Confusion) -> float:
    """Mean absolute error, in objects."""
    return _mean(confusion, _errors(confusion))


def mse(confusion: Confusion) -> float:
    """Mean squared error, in objects squared."""
    return _mean(confusion, _errors(confusion) ** 2)


def rmse(confusion: Confusion) -> float:
    """Root of the mean squared error, in objects."""
    return float(np.sqrt(mse(confusion)))


def r2(confusion: Confusion) -> float:
    """Coefficient of determination; 0 where all photos have the same quantity, so that no variance exists."""
    shares = confusion.photos.sum(axis=1) / confusion.total
    quantities = np.asarray(confusion.classes, np.float64)
    spread = float(shares @ (quantities - shares @ quantities) ** 2)
    return 1 - mse(confusion) / spread if np.count_nonzero(shares) > 1 else 0.0


def precision(confusion: Confusion) -> float:
    """Share of the photos predicted to have a count that do have it, weighted over the counts."""
    return _weighted(confusion, _ratio(np.diag(confusion.photos), confusion.photos.sum(axis=0)))


def recall(confusion: Confusion) -> float:
    """Share of the photos with a count that are predicted to have it, weighted over the counts."""
    return _weighted(confusion, _ratio(np.diag(confusion.photos), confusion.photos.sum(axis=1)))


def f_score(confusion: Confusion, beta: float) -> float:
    """The harmonic mean of precision and recall in which recall weighs `beta` times as much."""
    correct = np.diag(confusion.photos)
    actual, predicted = confusion.photos.sum(axis=1), confusion.photos.sum(axis=0)
    return _weighted(confusion, _ratio((1 + beta**2) * correct, beta**2 * actual + predicted))


def per_class(confusion: Confusion) -> dict[str, ClassReport]:
    """Photos, accuracy and RMSE per true quantity."""
    reports = {}
    for row, quantity in enumerate(confusion.classes):
        photos = np.zeros_like(confusion.photos)
        photos[row] = confusion.photos[row]
        if not photos.any():
            continue
        own = Confusion(confusion.classes, photos)
        reports[str(quantity)] = ClassReport(photos=own.total, accuracy=accuracy(own), rmse=rmse(own))
    return reports


def score(confusion: Confusion) -> Score:
    """Accuracy, RMSE, MAE and accuracy within one."""
    return Score(
        accuracy=accuracy(confusion),
        rmse=rmse(confusion),
        mae=mae(confusion),
        within_one=accuracy_within_one(confusion),
    )


def random_guess(confusion: Confusion) -> Score:
    """The expected score of a random answer, each class with the same probability."""
    scores = [score(confusion.always(quantity)) for quantity in confusion.classes]
    return Score(
        accuracy=float(np.mean([constant.accuracy for constant in scores])),
        rmse=float(np.sqrt(np.mean([constant.rmse**2 for constant in scores]))),
        mae=float(np.mean([constant.mae for constant in scores])),
        within_one=float(np.mean([constant.within_one for constant in scores])),
    )


def largest_class(confusion: Confusion) -> int:
    """The most frequent quantity; the smallest of several equally frequent ones."""
    return confusion.classes[int(confusion.photos.sum(axis=1).argmax())]


def median(confusion: Confusion) -> int:
    """The median quantity; the lower median for an even number of photos."""
    below = np.cumsum(confusion.photos.sum(axis=1))
    return confusion.classes[int(np.searchsorted(below, (confusion.total + 1) // 2))]


def classification(confusion: Confusion) -> ClassificationMetrics:
    """Metrics of the count as a class."""

    # Weighted recall is the accuracy by definition, except for rounding.
    formulas: dict[str, Callable[[Confusion], float]] = {
        "accuracy": accuracy,
        "weighted_recall": recall,
        "weighted_precision": precision,
        "weighted_f0_5": lambda drawn: f_score(drawn, 0.5),
        "weighted_f1": lambda drawn: f_score(drawn, 1),
        "weighted_f2": lambda drawn: f_score(drawn, 2),
    }

    def constant(formula: Callable[[Confusion], float]) -> Metric:
        return spread(lambda drawn: formula(drawn.always(largest_class(drawn))), confusion)

    return ClassificationMetrics(
        confusion_matrix={
            str(quantity): dict(zip(map(str, confusion.classes), row, strict=True))
            for quantity, row in zip(confusion.classes, confusion.photos.tolist(), strict=True)
        },
        **{name: spread(formula, confusion) for name, formula in formulas.items()},
        **{f"{name}_best_constant_classifier": constant(formula) for name, formula in formulas.items()},
    )


def regression(confusion: Confusion) -> RegressionMetrics:
    """Metrics of the count as a number."""
    return RegressionMetrics(
        mae=spread(mae, confusion), mse=spread(mse, confusion), rmse=spread(rmse, confusion), r2=spread(r2, confusion)
    )


def spread(formula: Callable[[Confusion], float], confusion: Confusion) -> Metric:
    """The formula over all photos, and its standard deviation over five samples of 80%, the same for each formula."""
    rng = np.random.default_rng(SEED)
    size = max(1, round(SAMPLE_SHARE * confusion.total))
    values = [formula(confusion.sample(size, rng)) for _ in range(SAMPLES)]
    return Metric(value=formula(confusion), standard_deviation=float(np.std(values)))


class Reliability:
    """Sums over bins of equal width of the probability of the likeliest count."""

    def __init__(self) -> None:
        self._photos = np.zeros(CALIBRATION_BINS, np.int64)
        self._confidence = np.zeros(CALIBRATION_BINS)
        self._correct = np.zeros(CALIBRATION_BINS, np.int64)

    def add(self, confidence: NDArray[np.floating[Any]], correct: NDArray[np.bool_]) -> None:
        """Count photos: arrays (N,) of the likeliest count's probability and of whether that count is the truth."""
        confidence = confidence.astype(np.float64)
        # A bin contains its upper end: 1.0 belongs to the last.
        bins = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(int) - 1, 0, CALIBRATION_BINS - 1)
        self._photos += np.bincount(bins, minlength=CALIBRATION_BINS)
        self._confidence += np.bincount(bins, weights=confidence, minlength=CALIBRATION_BINS)
        self._correct += np.bincount(bins, weights=correct, minlength=CALIBRATION_BINS).astype(np.int64)

    def result(self) -> Calibration:
        """The bins with photos, in ascending confidence, and the mean gap over all photos."""
        bins = [
            ReliabilityBin(
                photos=int(self._photos[place]),
                confidence=float(self._confidence[place] / self._photos[place]),
                accuracy=float(self._correct[place] / self._photos[place]),
            )
            for place in np.flatnonzero(self._photos)
        ]
        total = sum(each.photos for each in bins)
        error = sum(each.photos * abs(each.confidence - each.accuracy) for each in bins) / total
        return Calibration(expected_calibration_error=error, bins=bins)


def _errors(confusion: Confusion) -> Floats:
    quantities = np.asarray(confusion.classes, np.float64)
    distances: Floats = np.abs(quantities[:, None] - quantities[None, :])
    return distances


def _mean(confusion: Confusion, values: NDArray[np.float64] | NDArray[np.bool_]) -> float:
    return float((confusion.photos * values).sum() / confusion.total)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    shares: Floats = np.divide(part, whole, out=np.zeros(len(part)), where=whole != 0)
    return shares


def _weighted(confusion: Confusion, values: Floats) -> float:
    return float(confusion.photos.sum(axis=1) @ values / confusion.total)
