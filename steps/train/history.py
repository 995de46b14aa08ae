"""How a training went, epoch by epoch: what `history.json` holds, and what follows from it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, FiniteFloat, NonNegativeInt, PositiveInt


class EpochRecord(BaseModel):
    """One epoch; the first is 1. Losses are means a photo; a share is 0..1.

    `per_class` is the accuracy within each quantity. `gradient_norm` is the mean over the epoch's steps;
    `gpu_memory_bytes` the most that rank 0's tensors held. What was not measured is None.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

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


class History(BaseModel):
    """`history.json`."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    epochs: list[EpochRecord] = []

    @property
    def best(self) -> EpochRecord:
        """The epoch with the best accuracy, the earliest where several have it."""
        return max(self.epochs, key=lambda record: record.validation_accuracy)

    @property
    def improved(self) -> bool:
        """Whether the last epoch is the best."""
        return self.best is self.epochs[-1]
