"""The paired bootstrap: by how much two models that counted the same photos differ, and how sure that is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from steps.contracts.evaluation import Difference
from steps.contracts.statistics.tally import Tally

RESAMPLES = 2000
# Numbers drawn at a time, so that many classes do not take much memory.
DRAWN = 2_000_000
INTERVAL = (2.5, 97.5)  # percent


def differences(pairs: Tally) -> tuple[Difference, Difference]:
    """Accuracy and RMSE of the model whose counts are the first answers in `pairs`, less those of the second.

    Bootstrapped over photos, paired: each sample holds the same photos for both models.
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
    """Differences (RESAMPLES, 2) of samples with replacement, as many photos in each as there are.

    To draw photos and count their combinations is to draw the counts of the combinations: a multinomial.
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
