"""Validation on all ranks: each evaluates its part, and one sum combines the results."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from steps.contracts.artifact import Decision
from steps.contracts.errors import StepError
from steps.contracts.wording import count_of
from steps.train.collectives import Group
from steps.train.interruption import InterruptedTrainingError, Interruption
from steps.train.loader import Batch
from steps.train.precision import Precision


@dataclass(frozen=True)
class Validation:
    """Metrics of the whole split. `loss` is the mean cross entropy per photo, unweighted so that trials compare.

    `logits` (M, classes) and `truths` (M,), places in the classes, are those of the M photos that calibrate.
    """

    loss: float
    accuracy: float
    rmse: float
    per_class: dict[int, float]
    logits: NDArray[np.float64]
    truths: NDArray[np.int64]


def decide(logits: Tensor, quantities: Tensor, decision: Decision) -> Tensor:
    """Logits (N, classes) to class indices (N,): the likeliest, or the one nearest to the expected quantity."""
    if decision == "argmax":
        return logits.argmax(1)
    expected = logits.softmax(1) @ quantities
    # A half is rounded up: the last of two nearest quantities.
    distances = (expected[:, None] - quantities[None, :]).abs().flip(1)
    return quantities.numel() - 1 - distances.argmin(1)


def summarise(
    confusion: Sequence[Sequence[int]],
    classes: Sequence[int],
    loss_sum: float,
    logits: NDArray[np.float64],
    truths: NDArray[np.int64],
) -> Validation:
    """The metrics from the confusion matrix (rows: true class, columns: decision) and the sum of the losses.

    A class without photos has no accuracy and is left out of `per_class`.
    """
    photos = sum(map(sum, confusion))
    squares = sum(
        number * (classes[true] - classes[predicted]) ** 2
        for true, row in enumerate(confusion)
        for predicted, number in enumerate(row)
    )
    correct = sum(row[true] for true, row in enumerate(confusion))
    per_class = {classes[true]: row[true] / sum(row) for true, row in enumerate(confusion) if sum(row)}
    return Validation(loss_sum / photos, correct / photos, math.sqrt(squares / photos), per_class, logits, truths)


def validate(
    network: nn.Module,
    batches: Iterable[Batch],
    *,
    calibrating: int,
    classes: Sequence[int],
    decision: Decision,
    precision: Precision,
    group: Group,
    interruption: Interruption,
) -> Validation:
    """Evaluate the network on this rank's batches, and combine the ranks' results.

    `calibrating` is the number of photos that calibrate. Raises, on all ranks together, StepError when a shard of any
    rank is damaged, the loss is not finite, or a photo that calibrates is not in the split once, and
    InterruptedTrainingError when any rank received a signal.
    """
    device = precision.device
    width = len(classes)
    quantities = torch.tensor(classes, dtype=torch.float32, device=device)
    confusion = torch.zeros(width**2, dtype=torch.float64, device=device)
    loss = torch.zeros(1, dtype=torch.float64, device=device)
    # Per photo that calibrates: its logits, its class, and how often it was seen. The last row takes the other photos.
    calibrating_rows = torch.zeros((calibrating + 1, width + 2), dtype=torch.float64, device=device)
    failure: StepError | None = None
    network.eval()
    try:
        with torch.inference_mode():
            for batch in batches:
                if interruption.requested:
                    break
                photos, targets, places = (tensor.to(device, non_blocking=True) for tensor in batch)
                with precision.autocast():
                    logits = network(precision.laid_out(photos))
                logits = logits.float()
                loss += functional.cross_entropy(logits, targets, reduction="sum")
                cells = targets * width + decide(logits, quantities, decision)
                confusion += torch.bincount(cells, minlength=width**2)
                if calibrating:
                    seen = torch.cat([logits, targets[:, None].float(), torch.ones_like(logits[:, :1])], dim=1)
                    # An index of -1 is the last row.
                    calibrating_rows.index_add_(0, places % (calibrating + 1), seen.double())
    except StepError as error:
        failure = error
    network.train()
    if group.any(interruption.requested):
        raise InterruptedTrainingError
    group.fail_together(failure)
    summed = group.total(torch.cat([confusion, loss])).tolist()
    if not math.isfinite(summed[-1]):
        raise StepError("the validation loss is not a finite number; use a smaller learning rate")
    matrix = [[int(n) for n in summed[row * width : (row + 1) * width]] for row in range(width)]
    rows = group.total(calibrating_rows[:calibrating]).numpy() if calibrating else calibrating_rows[:0].cpu().numpy()
    if (rows[:, -1] != 1).any():
        raise StepError(
            f"the validation split does not contain {int((rows[:, -1] != 1).sum())} of the"
            f" {count_of(calibrating, 'photo')} by which the model is calibrated, or not once; shard the photos again"
        )
    return summarise(matrix, classes, summed[-1], rows[:, :width], rows[:, width].astype(np.int64))
