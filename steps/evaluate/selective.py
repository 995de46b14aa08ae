"""What a model can count by itself: errors by confidence, the sure counts, and the sets of counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from steps.contracts.artifact import Calibration
from steps.contracts.evaluation import Covered, PredictionSets, Selective, SureCounts

# Confidences are counted in intervals of this width, so that any number of photos takes the same memory.
INTERVALS = 100_000
# Coverages of the curve.
COVERAGES = tuple(percent / 100 for percent in range(5, 101, 5))


class Selection:
    """Sums over the photos of a test split."""

    def __init__(self, calibration: Calibration | None, quantities: Sequence[int]) -> None:
        self._calibration = calibration
        self._classes = np.asarray(quantities, np.int64)
        # Photos, right counts and squared errors, by interval of confidence and for the sure counts.
        self._by_confidence = np.zeros((INTERVALS, 3), np.int64)
        self._sure = np.zeros(3, np.int64)
        self._sizes = np.zeros(len(quantities) + 1, np.int64)
        self._by_quantity: dict[int, list[int]] = {}

    def add(
        self,
        truth: NDArray[np.int32],
        counts: NDArray[np.int32],
        confidence: NDArray[np.float32],
        sure: NDArray[np.bool_] | None,
        sets: NDArray[np.bool_] | None,
    ) -> None:
        """Count N photos: true counts, counts, their probabilities, which are sure (N,), and the sets (N, classes)."""
        errors = counts.astype(np.int64) - truth
        figures = np.stack([np.ones_like(errors), errors == 0, errors**2], axis=1)
        places = np.clip((confidence.astype(np.float64) * INTERVALS).astype(np.int64), 0, INTERVALS - 1)
        np.add.at(self._by_confidence, places, figures)
        if sure is None or sets is None:
            return
        self._sure += figures[sure].sum(axis=0)
        self._sizes += np.bincount(sets.sum(axis=1), minlength=len(self._sizes))
        # A quantity that is no class of the model is in no set.
        contained = (sets & (self._classes[None, :] == truth[:, None])).any(axis=1)
        for quantity in np.unique(truth).tolist():
            cells = self._by_quantity.setdefault(quantity, [0, 0])
            cells[0] += int((truth == quantity).sum())
            cells[1] += int(contained[truth == quantity].sum())

    def at(self, coverage: float) -> Covered:
        """The surest photos, a share `coverage` of all; photos of one interval of confidence count in proportion."""
        falling = self._by_confidence[::-1]
        photos = np.cumsum(falling[:, 0])
        wanted = coverage * photos[-1]
        last = int(np.searchsorted(photos, wanted * (1 - 1e-12)))
        before = falling[:last].sum(axis=0)
        share = (wanted - before[0]) / falling[last, 0]
        _, right, squares = before + share * falling[last]
        return Covered(
            coverage=coverage,
            confidence=(INTERVALS - 1 - last) / INTERVALS,
            accuracy=min(1.0, float(right / wanted)),
            rmse=float(np.sqrt(squares / wanted)),
        )

    def result(self) -> Selective:
        """The figures of all photos that were added, at least one."""
        curve = [self.at(coverage) for coverage in COVERAGES]
        if self._calibration is None:
            return Selective(curve=curve, sure=None, sets=None)
        photos = int(self._by_confidence[:, 0].sum())
        sure, right, squares = self._sure.tolist()
        sizes = {str(size): int(number) for size, number in enumerate(self._sizes) if number}
        return Selective(
            curve=curve,
            sure=SureCounts(
                share=sure / photos,
                confidence=self._calibration.sure_confidence,
                accuracy=right / sure if sure else None,
                rmse=float(np.sqrt(squares / sure)) if sure else None,
                wanted=self._calibration.sure_accuracy,
            ),
            sets=PredictionSets(
                level=self._calibration.level,
                coverage=sum(contained for _, contained in self._by_quantity.values()) / photos,
                mean_size=float(self._sizes @ np.arange(len(self._sizes))) / photos,
                coverage_by_quantity={
                    str(quantity): contained / number
                    for quantity, (number, contained) in sorted(self._by_quantity.items())
                },
                sizes=sizes,
            ),
        )
