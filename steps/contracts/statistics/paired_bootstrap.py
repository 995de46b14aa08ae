"""The paired bootstrap: differences between two models on the same photos, with confidence intervals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from steps.contracts.evaluation import Difference
from steps.contracts.statistics.tally import Tally

RESAMPLES = 2000
# Numbers drawn at a time, to limit the memory for many classes.
DRAWN = 2_000_000
INTERVAL = (2.5, 97.5)  # percent


def differences(pairs: Tally) -> tuple[Difference, Difference]:
    """Accuracy and RMSE of the model with the first answers in `pairs`, less those of the second.

    Bootstrapped over photos, paired: each sample has the same photos for both models.
    """
    rows, photos = pairs.cells()
    truth, first, second = (rows[:, column].astype(np.float64) for column in range(3))
    parts = [truth == first, truth == second, (truth - first) ** 2, (truth - second) ** 2]
    terms = np.stack(parts, axis=1).astype(np.float64)
    drawn = _resample(photos, terms)
    whole = _differences((photos @ terms / photos.sum())[None, :])
    accuracy, rmse = (
        Difference(value=float(value), lower=float(lower), upper=float(upper))
        for value, (lower, upper) in zip(whole[0], np.percentile(drawn, INTERVAL, axis=0).T, strict=True)
    )
    return accuracy, rmse


def _resample(photos: NDArray[np.int64], terms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Differences (RESAMPLES, 2) of samples with replacement, each of the size of the data.

    Drawing photos and counting their combinations is equivalent to drawing the counts from a multinomial.
    """
    rng = np.random.default_rng(0)
    total, at_a_time = int(photos.sum()), max(1, DRAWN // len(photos))
    results = []
    for start in range(0, RESAMPLES, at_a_time):
        drawn = rng.multinomial(total, photos / total, size=min(at_a_time, RESAMPLES - start))
        results.append(_differences(drawn @ terms / total))
    return np.concatenate(results)


def _differences(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Accuracy and RMSE, first less second, (N, 2) from the means of the terms (N, 4)."""
    return np.stack([means[:, 0] - means[:, 1], np.sqrt(means[:, 2]) - np.sqrt(means[:, 3])], axis=1)
