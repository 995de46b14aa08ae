"""Diagnostics of a training: decrease of the loss, size of the gradients, use of the GPU."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)

# Share of the first epoch's loss, or of the loss of guessing, by which a loss must be lower to count as decreased. The
# mean over an epoch of some thousand photos has a standard error of a few thousandths.
LOSS_MARGIN = 0.01
# No warning before this epoch, as the learning rate is still warming up.
LOSS_EPOCHS = 2

# The smaller the batch, the larger its gradient: a ResNet-18 in its first epochs, with eight photos of 32 pixels per
# step, had norms of 67 on average and at most 108. Ten times that is not caused by a small batch.
EXPLODING = 1000.0
# Gradients may grow by a small factor while the loss decreases, but not by this one.
EXPLODING_GROWTH = 10.0
# With fp16 the loss is scaled up until a gradient overflows, and that step is skipped: at most 16 times while the scale
# decreases from 2**16, then once in 2,000 steps (torch.amp.GradScaler). More overflows have another cause.
OVERFLOWS = 16
OVERFLOW_SHARE = 0.01
# The gradient of the last layer's bias is the batch's mean of (p - y), whose sampling noise alone is about
# 1 / sqrt(photos): 0.01 with 10,000 photos per step. A tenth of it means that the gradient vanishes.
VANISHING = 1e-3
# Below this loss a small gradient is normal: the network assigns 90% to the right class.
NOTHING_LEFT = 0.1


def guessing_loss(counts: Sequence[int], weights: Sequence[float], label_smoothing: float = 0.0) -> float:
    """The lowest mean loss of one answer for all photos: the cross entropy of the best constant guess.

    `counts` and `weights` are the classes' photos and weights in the loss, `label_smoothing` as in
    https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html. With balanced weights
    and without smoothing it is ln(classes).
    """
    photos, classes = sum(counts), len(counts)
    targets = [
        weight * ((1 - label_smoothing) * count / photos + label_smoothing / classes)
        for count, weight in zip(counts, weights, strict=True)
    ]
    total = sum(targets)
    return -sum(target * math.log(target / total) for target in targets if target > 0)


def loss_warning(losses: Sequence[float], guessing: float | None = None) -> str | None:
    """A warning with a remedy if the training loss of the epochs so far does not decrease; None without a problem.

    `guessing` is the loss of guessing, None if unknown. A warning appears once, at the epoch that causes it. It depends
    only on the losses, so that a resumed training has the same warnings as an uninterrupted one.
    """
    kind, text = _loss_problem(losses, guessing)
    return text if kind and kind != _loss_problem(losses[:-1], guessing)[0] else None


def _loss_problem(losses: Sequence[float], guessing: float | None) -> tuple[str, str]:
    if len(losses) < LOSS_EPOCHS:
        return "", ""
    first, last, epoch = losses[0], losses[-1], len(losses)
    if last > first * (1 + LOSS_MARGIN):
        return "risen", (
            f"the training loss rose from {first:.4f} in epoch 1 to {last:.4f} in epoch {epoch}; "
            "try a learning rate ten times smaller, or a longer warm-up"
        )
    if guessing is not None and last > guessing * (1 - LOSS_MARGIN):
        return "guessing", (
            f"the training loss of epoch {epoch}, {last:.4f}, is that of guessing ({guessing:.4f}); try a learning "
            "rate ten times larger or smaller, less weight decay, and check that the labels match the photos"
        )
    if last > first * (1 - LOSS_MARGIN):
        return "flat", (
            f"the training loss has not fallen since epoch 1 ({first:.4f}, now {last:.4f}); try a learning rate "
            "three times larger, a larger network, or less augmentation and label smoothing"
        )
    return "", ""


def gradient_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    """The Euclidean norm of all gradients together, a scalar on their device, without waiting for it.

    The same number as from `torch.nn.utils.clip_grad_norm_`, without its pass over all gradients to scale them.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return torch.zeros(())
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    return norm


class NormSum(NamedTuple):
    """Sum and maximum of the gradient norms of `steps` steps; `overflows` more steps had a norm that is not finite."""

    total: float
    maximum: float
    steps: int
    overflows: int = 0

    @property
    def mean(self) -> float | None:
        """The mean norm; None without steps."""
        return self.total / self.steps if self.steps else None

    @property
    def largest(self) -> float | None:
        """The maximum; None without steps."""
        return self.maximum if self.steps else None


NO_NORMS = NormSum(0.0, 0.0, 0)


class GradientNorms:
    """Mean and maximum of the gradient norm over the optimizer steps of an epoch.

    Kept on the device: `add` does not wait for it, `read` does. To resume an epoch of another process, create it with
    the values of `read` in that process.
    """

    def __init__(self, device: torch.device, before: NormSum = NO_NORMS) -> None:
        self._figures = torch.tensor(before, dtype=torch.float64, device=device)

    def add(self, norm: Tensor) -> None:
        """Add the norm of one step, a scalar on the device. A norm that is not finite is counted separately."""
        value = norm.detach().to(torch.float64)
        finite = torch.isfinite(value)
        value = torch.where(finite, value, 0)
        total, maximum, steps, overflows = self._figures.unbind()
        self._figures = torch.stack((total + value, torch.maximum(maximum, value), steps + finite, overflows + ~finite))

    def read(self) -> NormSum:
        """The sum of the added norms. Waits for the device."""
        total, maximum, steps, overflows = self._figures.tolist()
        return NormSum(total, maximum, int(steps), int(overflows))


def gradient_warning(norms: NormSum, train_loss: float, earlier_means: Sequence[float | None] = ()) -> str | None:
    """A warning with a remedy when an epoch's gradients explode or vanish; None without a problem.

    `earlier_means` are the mean norms of the epochs before.
    """
    if norms.overflows > OVERFLOWS + OVERFLOW_SHARE * norms.steps:
        return (
            f"the gradient was not finite in {norms.overflows} of {norms.overflows + norms.steps} steps; try a smaller "
            "learning rate, a longer warm-up, or precision bf16 or fp32"
        )
    mean, largest = norms.mean, norms.largest
    if mean is None or largest is None:
        return None
    smallest = min((earlier for earlier in earlier_means if earlier), default=None)
    if largest > EXPLODING:
        return (
            f"the gradient norm went up to {largest:.4g} (mean {mean:.4g}): it explodes; try a smaller learning rate, "
            "a longer warm-up, or gradient clipping"
        )
    if smallest is not None and mean > EXPLODING_GROWTH * smallest:
        return (
            f"the mean gradient norm, {mean:.4g}, is {mean / smallest:.0f} times that of an earlier epoch; try a "
            "smaller learning rate or gradient clipping"
        )
    if mean < VANISHING and train_loss > NOTHING_LEFT:
        return (
            f"the mean gradient norm is {mean:.4g} at a loss of {train_loss:.4f}: it vanishes; try a larger learning "
            "rate, other initial weights, or precision fp32"
        )
    return None


@dataclass(frozen=True)
class GpuUse:
    """Use of a GPU in an epoch: share of time in which it ran a kernel (0..1), and peak bytes of tensors.

    None is unknown: there is no GPU, or its driver does not report it.
    """

    utilisation: float | None = None
    memory_bytes: int | None = None


class GpuWatch:
    """Measures the use of this rank's GPU. Without a GPU every method does nothing.

    Utilisation is NVML's, over the last sixth of a second to one second
    (https://docs.pytorch.org/docs/stable/generated/torch.cuda.utilization.html): call `sample` every few steps. It
    needs the package nvidia-ml-py; if that or the driver's support (a slice of a GPU has none) is missing, there is one
    log line and utilisation is None.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._cuda = device.type == "cuda"
        self._measures = self._cuda
        self._samples: list[int] = []

    def sample(self) -> None:
        """Measure once; takes a fraction of a millisecond and does not wait for the GPU."""
        if not self._measures:
            return
        try:
            self._samples.append(torch.cuda.utilization(self._device))
        except Exception as error:
            # ModuleNotFoundError without the package, RuntimeError without the driver, NVMLError without support by
            # the device: a class of a package that may be missing.
            self._measures = False
            reason = str(error) or type(error).__name__
            log.info("GPU utilisation is not measured: %s", reason.splitlines()[0])

    def epoch(self) -> GpuUse:
        """The use since the last call; resets the measurement."""
        if not self._cuda:
            return GpuUse()
        samples, self._samples = self._samples, []
        memory = torch.cuda.max_memory_allocated(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        return GpuUse(sum(samples) / len(samples) / 100 if samples else None, memory)
