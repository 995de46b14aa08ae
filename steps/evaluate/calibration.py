"""Whether the model is as often right as it says it is: the reliability curve and its expected error."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from steps.contracts.evaluation import Calibration, ReliabilityBin

# The usual number: https://arxiv.org/abs/1706.04599
BINS = 15


class Reliability:
    """Sums over bins of equal width of the probability of the likeliest count."""

    def __init__(self) -> None:
        self._photos = np.zeros(BINS, np.int64)
        self._confidence = np.zeros(BINS)
        self._right = np.zeros(BINS, np.int64)

    def add(self, confidence: NDArray[np.floating[Any]], right: NDArray[np.bool_]) -> None:
        """Count photos: arrays (N,), the likeliest count's probability and whether it was the truth."""
        confidence = confidence.astype(np.float64)
        # A bin holds its upper end: 1.0 belongs to the last.
        bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
        self._photos += np.bincount(bins, minlength=BINS)
        self._confidence += np.bincount(bins, weights=confidence, minlength=BINS)
        self._right += np.bincount(bins, weights=right, minlength=BINS).astype(np.int64)

    def result(self) -> Calibration:
        """The bins that have photos, from the least confident on, and the mean gap over all photos."""
        bins = [
            ReliabilityBin(
                photos=int(self._photos[place]),
                confidence=float(self._confidence[place] / self._photos[place]),
                accuracy=float(self._right[place] / self._photos[place]),
            )
            for place in np.flatnonzero(self._photos)
        ]
        total = sum(one.photos for one in bins)
        error = sum(one.photos * abs(one.confidence - one.accuracy) for one in bins) / total
        return Calibration(expected_calibration_error=error, bins=bins)
