"""The epochs of a training: the content of `history.json`, the best epoch, and early stopping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, FiniteFloat, NonNegativeInt, PositiveInt

from steps.contracts.parsing import Contract
from steps.train.recipe import BestBy


class EpochRecord(Contract):
    """One epoch; the first is 1. Losses are means per photo; a share is 0..1.

    `per_class` is the accuracy per quantity. `gradient_norm` is the mean over the epoch's steps; `gpu_memory_bytes` the
    peak of the tensors of rank 0. Unmeasured values are None.
    """

    epoch: PositiveInt
    train_loss: FiniteFloat
    validation_loss: FiniteFloat
    validation_accuracy: FiniteFloat
    validation_rmse: FiniteFloat
    per_class: dict[int, FiniteFloat]
    learning_rate: FiniteFloat
    seconds: FiniteFloat
    images_per_second: FiniteFloat
    data_wait_share: FiniteFloat
    gradient_norm: FiniteFloat | None = None
    gradient_norm_max: FiniteFloat | None = None
    gpu_utilisation: FiniteFloat | None = None
    gpu_memory_bytes: NonNegativeInt | None = None


class History(BaseModel, extra="forbid"):
    """`history.json`."""

    version: Literal[1] = 1
    best_by: BestBy = "accuracy"
    epochs: list[EpochRecord] = []

    @property
    def best(self) -> EpochRecord:
        """The epoch with the best validation accuracy or loss, the earliest of several equal ones."""
        return max(self.epochs, key=self.score)

    def score(self, record: EpochRecord) -> float:
        """The figure by which epochs are compared: a higher one is better."""
        return record.validation_accuracy if self.best_by == "accuracy" else -record.validation_loss

    @property
    def improved(self) -> bool:
        """Whether the last epoch is the best."""
        return self.best is self.epochs[-1]


def out_of_patience(scores: Sequence[float], patience: int) -> bool:
    """Whether the last `patience` epochs brought no score above the best before them; never with patience 0.

    It depends on the whole history, so that a resumed training stops at the same epoch as an uninterrupted one.
    """
    if not patience or not scores:
        return False
    best = max(range(len(scores)), key=scores.__getitem__)
    return len(scores) - 1 - best >= patience
