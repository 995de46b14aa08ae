"""Metrics of counts: arrays in, numbers out.

`truth` and `predicted` are integer arrays of shape (N,), N at least 1. Precision, recall and F1 are weighted by the
classes' photos, and a class that is never predicted has precision 0: scikit-learn's `average="weighted"` with
`zero_division=0`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steps.common.evaluation import ClassificationMetrics, ClassReport, Metric, RegressionMetrics, Score

Counts = NDArray[np.integer[Any]]

SAMPLES = 5
SAMPLE_SHARE = 0.8


def accuracy(truth: Counts, predicted: Counts) -> float:
    """Share of photos counted right."""
    return float(np.mean(truth == predicted))


def accuracy_within_one(truth: Counts, predicted: Counts) -> float:
    """Share of photos that are miscounted by one at most."""
    return float(np.mean(_error(truth, predicted) <= 1))


def mae(truth: Counts, predicted: Counts) -> float:
    """Mean absolute error, in objects."""
    return float(np.mean(_error(truth, predicted)))


def mse(truth: Counts, predicted: Counts) -> float:
    """Mean squared error, in objects squared."""
    return float(np.mean(_error(truth, predicted) ** 2))


def rmse(truth: Counts, predicted: Counts) -> float:
    """Root of the mean squared error, in objects."""
    return float(np.sqrt(mse(truth, predicted)))


def r2(truth: Counts, predicted: Counts) -> float:
    """Coefficient of determination; 0 where all photos hold the same number and there is nothing to explain."""
    spread = float(np.var(truth))
    return 1 - mse(truth, predicted) / spread if spread else 0.0


def weighted(truth: Counts, predicted: Counts) -> tuple[float, float, float]:
    """Precision, recall and F1, weighted by the photos of each class."""
    precision = recall = f1 = 0.0
    for quantity in np.unique(truth):
        right = float(np.sum((truth == quantity) & (predicted == quantity)))
        said, there = float(np.sum(predicted == quantity)), float(np.sum(truth == quantity))
        share = there / len(truth)
        precision += share * (right / said if said else 0.0)
        recall += share * right / there
        f1 += share * 2 * right / (said + there)
    return precision, recall, f1


def confusion_matrix(truth: Counts, predicted: Counts, classes: Sequence[int]) -> dict[str, dict[str, int]]:
    """Photos by truth, then by prediction."""
    return {
        str(row): {str(column): int(np.sum((truth == row) & (predicted == column))) for column in classes}
        for row in classes
    }


def per_class(truth: Counts, predicted: Counts) -> dict[str, ClassReport]:
    """How the photos of each true quantity were counted."""
    reports = {}
    for quantity in np.unique(truth):
        those = truth == quantity
        reports[str(quantity)] = ClassReport(
            photos=int(np.sum(those)),
            accuracy=accuracy(truth[those], predicted[those]),
            rmse=rmse(truth[those], predicted[those]),
        )
    return reports


def score(truth: Counts, predicted: Counts) -> Score:
    """Accuracy, RMSE and what is off by one at most."""
    within_one = accuracy_within_one(truth, predicted)
    return Score(accuracy=accuracy(truth, predicted), rmse=rmse(truth, predicted), within_one=within_one)


def constant(truth: Counts, quantity: int) -> Score:
    """What always answering `quantity` reaches."""
    return score(truth, np.full_like(truth, quantity))


def random_guess(truth: Counts, classes: Sequence[int]) -> Score:
    """What answering any class with equal chance is expected to reach."""
    errors = (truth[:, None] - np.asarray(classes)[None, :]).astype(np.float64)
    return Score(
        accuracy=float(np.mean(errors == 0)),
        rmse=float(np.sqrt(np.mean(errors**2))),
        within_one=float(np.mean(np.abs(errors) <= 1)),
    )


def largest_class(truth: Counts) -> int:
    """The quantity with the most photos, the smaller of two that are as large."""
    quantities, photos = np.unique(truth, return_counts=True)
    return int(quantities[photos.argmax()])


def classification(truth: Counts, predicted: Counts, classes: Sequence[int]) -> ClassificationMetrics:
    """The count as a class."""

    def best_constant(truths: Counts, _: Counts) -> float:
        return constant(truths, largest_class(truths)).accuracy

    return ClassificationMetrics(
        confusion_matrix=confusion_matrix(truth, predicted, classes),
        accuracy=_metric(accuracy, truth, predicted),
        weighted_precision=_metric(lambda t, p: weighted(t, p)[0], truth, predicted),
        weighted_recall=_metric(lambda t, p: weighted(t, p)[1], truth, predicted),
        weighted_f1=_metric(lambda t, p: weighted(t, p)[2], truth, predicted),
        accuracy_within_one=_metric(accuracy_within_one, truth, predicted),
        accuracy_best_constant_classifier=_metric(best_constant, truth, predicted),
        # Weighted recall is the accuracy, the constant's too.
        weighted_recall_best_constant_classifier=_metric(best_constant, truth, predicted),
    )


def regression(truth: Counts, predicted: Counts) -> RegressionMetrics:
    """The count as a number."""
    return RegressionMetrics(
        mae=_metric(mae, truth, predicted),
        mse=_metric(mse, truth, predicted),
        rmse=_metric(rmse, truth, predicted),
        r2=_metric(r2, truth, predicted),
    )


def _metric(formula: Callable[[Counts, Counts], float], truth: Counts, predicted: Counts) -> Metric:
    """The formula on all photos, and its standard deviation over five samples of 80%, the same for each formula."""
    rng = np.random.default_rng(0)
    size = max(1, round(SAMPLE_SHARE * len(truth)))
    values = []
    for _ in range(SAMPLES):
        chosen = rng.choice(len(truth), size, replace=False)
        values.append(formula(truth[chosen], predicted[chosen]))
    return Metric(value=formula(truth, predicted), standard_deviation=float(np.std(values)))


def _error(truth: Counts, predicted: Counts) -> NDArray[np.float64]:
    error: NDArray[np.float64] = np.abs(truth.astype(np.float64) - predicted.astype(np.float64))
    return error
