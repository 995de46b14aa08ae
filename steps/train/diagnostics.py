"""What a training tells about its own health: does the loss fall, how large are the gradients, is the GPU busy."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)

# Share of the first epoch's loss, or of the loss of guessing, by which a loss has to be lower to count as fallen. The
# mean over an epoch of some thousand photos has a standard error of a few thousandths.
LOSS_MARGIN = 0.01
# Before, it is no news: the learning rate is still warming up.
LOSS_EPOCHS = 2

# Recipes that clip do it at norms of 0.1 to 5; a step far beyond that is not taken in a direction that was measured.
EXPLODING = 100.0
# A recipe's gradients may grow while its loss falls, by a factor of a few; not by as much as this.
EXPLODING_GROWTH = 10.0
# The gradient of the last layer's bias is the batch's mean of (p - y), whose sampling noise alone is about
# 1 / sqrt(photos): 0.01 with 10,000 photos a step. A tenth of it means that the gradient gets lost on its way.
VANISHING = 1e-3
# Unless there is nothing left to learn: at this loss the network gives the right class 90%.
NOTHING_LEFT = 0.1


def guessing_loss(counts: Sequence[int], weights: Sequence[float], label_smoothing: float = 0.0) -> float:
    """The lowest mean loss that one answer for all photos can have: the cross entropy of the best constant guess.

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


@dataclass(frozen=True)
class LossWatch:
    """Looks whether the training loss falls. `guessing` is the loss of guessing, None where it is not known."""

    guessing: float | None = None

    def look(self, losses: Sequence[float]) -> str | None:
        """A warning with what to try, from the training loss of every epoch so far; None where all is well.

        The same warning comes once, not every epoch: it comes when the last epoch brought it. It depends on the
        losses alone, so a resumed training warns as an uninterrupted one does.
        """
        kind, text = self._problem(losses)
        return text if kind and kind != self._problem(losses[:-1])[0] else None

    def _problem(self, losses: Sequence[float]) -> tuple[str, str]:
        if len(losses) < LOSS_EPOCHS:
            return "", ""
        first, last, epoch = losses[0], losses[-1], len(losses)
        if last > first * (1 + LOSS_MARGIN):
            return "risen", (
                f"the training loss rose from {first:.4f} in epoch 1 to {last:.4f} in epoch {epoch}; "
                "try a learning rate ten times smaller, or a longer warm-up"
            )
        if self.guessing is not None and last > self.guessing * (1 - LOSS_MARGIN):
            return "guessing", (
                f"the training loss of epoch {epoch}, {last:.4f}, is that of guessing ({self.guessing:.4f}); try a "
                "learning rate ten times larger or smaller, less weight decay, and look whether the labels fit the "
                "photos"
            )
        if last > first * (1 - LOSS_MARGIN):
            return "flat", (
                f"the training loss has not fallen since epoch 1 ({first:.4f}, now {last:.4f}); try a learning rate "
                "three times larger, a larger network, or less augmentation and label smoothing"
            )
        return "", ""


def gradient_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    """The Euclidean norm of all gradients together, a scalar on their device; nothing waits for it.

    The number that `torch.nn.utils.clip_grad_norm_` gives, without its pass over all gradients to scale them.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return torch.zeros(())
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    return norm


class GradientNorms:
    """Mean and maximum of the gradient norm over the steps of an epoch.

    Kept on the device: `add` waits for nothing, `read` does. To go on in an epoch that another process began, make it
    with what `read` gave there.
    """

    def __init__(self, device: torch.device, total: float = 0.0, maximum: float = 0.0, steps: int = 0) -> None:
        self._total = torch.tensor(total, dtype=torch.float64, device=device)
        self._maximum = torch.tensor(maximum, dtype=torch.float64, device=device)
        self._steps = steps

    def add(self, norm: Tensor) -> None:
        """Take in the norm of one step, a scalar on the device."""
        value = norm.detach().to(torch.float64)
        self._total += value
        self._maximum = torch.maximum(self._maximum, value)
        self._steps += 1

    def read(self) -> NormSum:
        """What was added so far. Waits for the device."""
        return NormSum(float(self._total), float(self._maximum), self._steps)


class NormSum(NamedTuple):
    """Sum and maximum of the gradient norms of `steps` steps."""

    total: float
    maximum: float
    steps: int

    @property
    def mean(self) -> float | None:
        """The mean norm; None without steps, and where a norm was not finite, which JSON cannot hold."""
        return self.total / self.steps if self.steps and math.isfinite(self.total) else None

    @property
    def largest(self) -> float | None:
        """The maximum; None as `mean` is."""
        return self.maximum if self.steps and math.isfinite(self.maximum) else None


NO_NORMS = NormSum(0.0, 0.0, 0)


def gradient_warning(norms: NormSum, train_loss: float, earlier_means: Sequence[float | None] = ()) -> str | None:
    """A warning with what to try when an epoch's gradients explode or vanish; None where all is well.

    `earlier_means` are the mean norms of the epochs before.
    """
    if not norms.steps:
        return None
    mean, largest = norms.mean, norms.largest
    if mean is None or largest is None:
        return "a gradient was not finite; try a smaller learning rate, a longer warm-up, or precision fp32"
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
    """An epoch on a GPU: the share of time in which it ran a kernel (0..1), and the most bytes that tensors held.

    None is not known: there is no GPU, or its driver does not tell.
    """

    utilisation: float | None = None
    memory_bytes: int | None = None


class GpuWatch:
    """How busy this rank's GPU is. Without one every method does nothing.

    Utilisation is NVML's, of the last sixth of a second up to a second
    (https://docs.pytorch.org/docs/stable/generated/torch.cuda.utilization.html): call `sample` every few steps. It
    wants the package nvidia-ml-py; where that or the driver's support (a slice of a GPU has none) is missing, the log
    says so once and utilisation is None.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._cuda = device.type == "cuda"
        self._measures = self._cuda
        self._samples: list[int] = []

    def sample(self) -> None:
        """Look once; costs a fraction of a millisecond and does not wait for the GPU."""
        if not self._measures:
            return
        try:
            self._samples.append(torch.cuda.utilization(self._device))
        except Exception as error:
            # ModuleNotFoundError without the package, RuntimeError without the driver, NVMLError where the device
            # does not tell: a class of a package that may not be there.
            self._measures = False
            reason = str(error) or type(error).__name__
            log.info("GPU utilisation is not measured: %s", reason.splitlines()[0])

    def epoch(self) -> GpuUse:
        """What was seen since the last call, and begin anew."""
        if not self._cuda:
            return GpuUse()
        samples, self._samples = self._samples, []
        memory = torch.cuda.max_memory_allocated(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        return GpuUse(sum(samples) / len(samples) / 100 if samples else None, memory)
