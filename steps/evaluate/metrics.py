"""Metrics of counts, from how many photos were taken for what.

Precision, recall and F-scores are weighted by the classes' photos, and a class that is never predicted has precision
0: scikit-learn's `average="weighted"` with `zero_division=0`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steps.contracts.evaluation import ClassificationMetrics, ClassReport, Metric, RegressionMetrics, Score
from steps.contracts.statistics.tally import Confusion

SAMPLES = 5
SAMPLE_SHARE = 0.8
SEED = 1

Floats = NDArray[np.float64]


def accuracy(confusion: Confusion) -> float:
    """Share of photos counted right."""
    return float(np.trace(confusion.photos) / confusion.total)


def accuracy_within_one(confusion: Confusion) -> float:
    """Share of photos that are miscounted by one at most."""
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
    """Coefficient of determination; 0 where all photos hold the same number and there is nothing to explain."""
    shares = confusion.photos.sum(axis=1) / confusion.total
    quantities = np.asarray(confusion.classes, np.float64)
    spread = float(shares @ (quantities - shares @ quantities) ** 2)
    return 1 - mse(confusion) / spread if np.count_nonzero(shares) > 1 else 0.0


def precision(confusion: Confusion) -> float:
    """Of the photos taken for a count, the share that has it."""
    return _weighted(confusion, _ratio(np.diag(confusion.photos), confusion.photos.sum(axis=0)))


def recall(confusion: Confusion) -> float:
    """Of the photos with a count, the share that was taken for it."""
    return _weighted(confusion, _ratio(np.diag(confusion.photos), confusion.photos.sum(axis=1)))


def f_score(confusion: Confusion, beta: float) -> float:
    """The harmonic mean of precision and recall in which recall weighs `beta` times as much."""
    right = np.diag(confusion.photos)
    there, said = confusion.photos.sum(axis=1), confusion.photos.sum(axis=0)
    return _weighted(confusion, _ratio((1 + beta**2) * right, beta**2 * there + said))


def per_class(confusion: Confusion) -> dict[str, ClassReport]:
    """How the photos of each true quantity were counted."""
    reports = {}
    for row, quantity in enumerate(confusion.classes):
        those = np.zeros_like(confusion.photos)
        those[row] = confusion.photos[row]
        if not those.any():
            continue
        own = Confusion(confusion.classes, those)
        reports[str(quantity)] = ClassReport(photos=own.total, accuracy=accuracy(own), rmse=rmse(own))
    return reports


def score(confusion: Confusion) -> Score:
    """Accuracy, RMSE, MAE and what is off by one at most."""
    return Score(
        accuracy=accuracy(confusion),
        rmse=rmse(confusion),
        mae=mae(confusion),
        within_one=accuracy_within_one(confusion),
    )


def random_guess(confusion: Confusion) -> Score:
    """What answering any class with equal chance is expected to reach."""
    each = [score(confusion.always(quantity)) for quantity in confusion.classes]
    return Score(
        accuracy=float(np.mean([one.accuracy for one in each])),
        rmse=float(np.sqrt(np.mean([one.rmse**2 for one in each]))),
        mae=float(np.mean([one.mae for one in each])),
        within_one=float(np.mean([one.within_one for one in each])),
    )


def largest_class(confusion: Confusion) -> int:
    """The quantity with the most photos, the smaller of two that are as large."""
    return confusion.classes[int(confusion.photos.sum(axis=1).argmax())]


def median(confusion: Confusion) -> int:
    """The median quantity, the smaller of the two in the middle of an even number of photos."""
    below = np.cumsum(confusion.photos.sum(axis=1))
    return confusion.classes[int(np.searchsorted(below, (confusion.total + 1) // 2))]


def classification(confusion: Confusion) -> ClassificationMetrics:
    """The count as a class."""

    def constant(formula: Callable[[Confusion], float]) -> Metric:
        return spread(lambda drawn: formula(drawn.always(largest_class(drawn))), confusion)

    # Weighted recall is the accuracy by definition, but for rounding.
    return ClassificationMetrics(
        confusion_matrix={
            str(quantity): dict(zip(map(str, confusion.classes), row, strict=True))
            for quantity, row in zip(confusion.classes, confusion.photos.tolist(), strict=True)
        },
        accuracy=spread(accuracy, confusion),
        weighted_recall=spread(recall, confusion),
        weighted_precision=spread(precision, confusion),
        weighted_f0_5=spread(lambda drawn: f_score(drawn, 0.5), confusion),
        weighted_f1=spread(lambda drawn: f_score(drawn, 1), confusion),
        weighted_f2=spread(lambda drawn: f_score(drawn, 2), confusion),
        accuracy_best_constant_classifier=constant(accuracy),
        weighted_recall_best_constant_classifier=constant(recall),
        weighted_precision_best_constant_classifier=constant(precision),
        weighted_f0_5_best_constant_classifier=constant(lambda drawn: f_score(drawn, 0.5)),
        weighted_f1_best_constant_classifier=constant(lambda drawn: f_score(drawn, 1)),
        weighted_f2_best_constant_classifier=constant(lambda drawn: f_score(drawn, 2)),
    )


def regression(confusion: Confusion) -> RegressionMetrics:
    """The count as a number."""
    return RegressionMetrics(
        mae=spread(mae, confusion), mse=spread(mse, confusion), rmse=spread(rmse, confusion), r2=spread(r2, confusion)
    )


def spread(formula: Callable[[Confusion], float], confusion: Confusion) -> Metric:
    """The formula on all photos, and its standard deviation over five samples of 80%, the same for each formula."""
    rng = np.random.default_rng(SEED)
    size = max(1, round(SAMPLE_SHARE * confusion.total))
    values = [formula(confusion.sample(size, rng)) for _ in range(SAMPLES)]
    return Metric(value=formula(confusion), standard_deviation=float(np.std(values)))


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
