"""The loss: class-weighted cross entropy with label smoothing, and optionally the distance of counts."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from steps.train.recipe import ClassWeighting


def class_weights(counts: Mapping[int, int], classes: Sequence[int], weighting: ClassWeighting) -> list[float]:
    """A weight per class, from its count in the training split; their mean over the photos is 1.

    `balanced` weights a class by 1 / count, `sqrt` by 1 / sqrt(count), which emphasises rare classes less.
    """
    exponent = {"balanced": 1.0, "sqrt": 0.5, "none": 0.0}[weighting]
    raw = [math.pow(counts[quantity], -exponent) for quantity in classes]
    photos = [counts[quantity] for quantity in classes]
    mean = sum(map(operator.mul, raw, photos)) / sum(photos)
    return [weight / mean for weight in raw]


class Objective(nn.Module):
    """Logits (N, classes) and class indices (N,) to a scalar.

    The sum over the batch is divided by the number of photos, not by the sum of their weights as in PyTorch's weighted
    mean. With batches of one size on all ranks, DDP's mean of the ranks' gradients is then exactly the gradient of the
    whole batch; a mean by weights would be a mean of ratios. The weights' mean over the photos is 1, so that the scale
    is the same.
    """

    weights: Tensor
    gaps: Tensor

    def __init__(
        self, weights: Sequence[float], classes: Sequence[int], label_smoothing: float, ordinal_weight: float = 0.0
    ) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32))
        quantities = torch.tensor(classes, dtype=torch.float32)
        self.register_buffer("gaps", quantities.diff())
        self.label_smoothing = label_smoothing
        self.ordinal_weight = ordinal_weight

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean weighted loss of the batch."""
        logits = logits.float()
        total = functional.cross_entropy(
            logits, targets, self.weights, reduction="sum", label_smoothing=self.label_smoothing
        )
        if self.ordinal_weight:
            total = total + self.ordinal_weight * (self.weights[targets] * self._distances(logits, targets)).sum()
        return total / targets.shape[0]

    def _distances(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The squared earth mover's distance (N,) of each photo's probabilities from its quantity, in objects squared.

        In one dimension it is the difference of the two cumulative distributions
        (Hou, Yu and Samaras 2016, https://arxiv.org/abs/1611.05916), here with the distances between the quantities.
        """
        predicted = logits.softmax(1).cumsum(1)[:, :-1]
        true = (targets[:, None] <= torch.arange(len(self.gaps), device=targets.device)).float()
        return ((predicted - true).square() * self.gaps).sum(1)
