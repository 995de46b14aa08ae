"""Confusion matrices: all that the metrics need, whatever the number of photos.

Every metric of counts, its spread over samples of the photos, and the difference between two models are functions of
the number of photos per combination of truth and answers. So photos are counted one by one and not kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Confusion:
    """The confusion matrix of at least one photo: truth (rows) by answer (columns), both in ascending `classes`."""

    classes: tuple[int, ...]
    photos: NDArray[np.int64]

    @classmethod
    def of(cls, truth: Integers, answers: Integers) -> Confusion:
        """The confusion matrix of arrays (N,)."""
        tally = Tally()
        tally.add(truth, answers)
        return tally.confusion()

    @property
    def total(self) -> int:
        """Number of photos."""
        return int(self.photos.sum())

    def sample(self, size: int, rng: np.random.Generator) -> Confusion:
        """The confusion matrix of `size` of the photos, drawn without replacement."""
        drawn = rng.multivariate_hypergeometric(self.photos.ravel(), size, method="marginals")
        return Confusion(self.classes, drawn.reshape(self.photos.shape))

    def always(self, quantity: int) -> Confusion:
        """The confusion matrix of the same photos with `quantity`, one of the classes, as the only answer."""
        photos = np.zeros_like(self.photos)
        photos[:, self.classes.index(quantity)] = self.photos.sum(axis=1)
        return Confusion(self.classes, photos)


class Tally:
    """The number of photos per combination of truth and answers."""

    def __init__(self) -> None:
        self._cells: Counter[tuple[int, ...]] = Counter()

    def add(self, truth: Integers, *answers: Integers) -> None:
        """Count photos: arrays (N,), with the same number of answers in every call."""
        rows, photos = np.unique(np.stack([truth, *answers], axis=1), axis=0, return_counts=True)
        self._cells.update({tuple(row): number for row, number in zip(rows.tolist(), photos.tolist(), strict=True)})

    def cells(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The combinations (K, 1 + answers) in ascending order, and their photos (K,)."""
        rows = sorted(self._cells)
        return np.array(rows, np.int64), np.array([self._cells[row] for row in rows], np.int64)

    def confusion(self, answer: int = 0, classes: Sequence[int] = ()) -> Confusion:
        """The confusion matrix of one of the answers, over the occurring classes and `classes`."""
        rows, photos = self.cells()
        names = tuple(sorted({*classes, *rows[:, 0].tolist(), *rows[:, 1 + answer].tolist()}))
        matrix = np.zeros((len(names), len(names)), np.int64)
        places = [np.searchsorted(names, rows[:, column]) for column in (0, 1 + answer)]
        np.add.at(matrix, tuple(places), photos)
        return Confusion(names, matrix)
