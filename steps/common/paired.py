"""Two models on the same photos: how much they differ, and how sure that is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steps.common.evaluation import Difference
from steps.common.tally import Tally

RESAMPLES = 2000
# Numbers drawn at a time, so that many classes do not take much memory.
DRAWN = 2_000_000
INTERVAL = (2.5, 97.5)  # percent


class Differences(NamedTuple):
    """The first model's accuracy and RMSE less the second's."""

    accuracy: Difference
    rmse: Difference


def differences(pairs: Tally) -> Differences:
    """What the first answers in `pairs` have over the second, bootstrapped over photos.

    Each sample holds the same photos for both models. To draw photos and count their combinations of truth and answers
    is to draw the counts of the combinations: a multinomial.
    """
    rows, photos = pairs.cells()
    truth, ours, theirs = (rows[:, column].astype(np.float64) for column in range(3))
    terms = np.stack([truth == ours, truth == theirs, (truth - ours) ** 2, (truth - theirs) ** 2], axis=1).astype(float)
    rng = np.random.default_rng(0)
    total, at_a_time = int(photos.sum()), max(1, DRAWN // len(photos))
    drawn = []
    for start in range(0, RESAMPLES, at_a_time):
        counts = rng.multinomial(total, photos / total, size=min(at_a_time, RESAMPLES - start))
        drawn.append(_differences(counts @ terms / total))
    whole = _differences((photos @ terms / total)[None, :])[0]
    limits = np.percentile(np.concatenate(drawn), INTERVAL, axis=0).T
    return Differences(
        *(
            Difference(value=float(value), lower=float(lower), upper=float(upper))
            for value, (lower, upper) in zip(whole, limits, strict=True)
        )
    )


def _differences(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Accuracy and RMSE, ours less theirs, (N, 2) from the means of `terms` (N, 4)."""
    return np.stack([means[:, 0] - means[:, 1], np.sqrt(means[:, 2]) - np.sqrt(means[:, 3])], axis=1)
