"""One epoch of training on this rank: augment, forward, backward, step; before each step the ranks agree."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from steps.contracts.errors import StepError
from steps.train.assignment import generator_of
from steps.train.augmentation import augment, halved
from steps.train.average import WeightAverage
from steps.train.checkpoint import Progress
from steps.train.collectives import Group
from steps.train.diagnostics import GpuWatch, GradientNorms, gradient_norm
from steps.train.interruption import InterruptedTrainingError, Interruption
from steps.train.loader import Batch
from steps.train.log_lines import progress_line
from steps.train.objective import Objective
from steps.train.optimizer import learning_rate, set_learning_rate
from steps.train.precision import Precision
from steps.train.profiling import StepProfiler
from steps.train.recipe import Recipe

log = logging.getLogger(__name__)

# Reading the loss waits for the GPU. Steps between two checks of the loss, and seconds between two reports.
CHECK_STEPS = 20
REPORT_SECONDS = 30.0


@dataclass
class Training:
    """The state of the loop: `network` exchanges gradients, `checkpointed` is the time of the last checkpoint.

    `steps` are forward passes per epoch; an optimizer step is one of them or, with accumulation, several.
    """

    recipe: Recipe
    group: Group
    network: DistributedDataParallel
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    objective: Objective
    precision: Precision
    interruption: Interruption
    steps: int
    checkpointed: float
    average: WeightAverage | None
    profiler: StepProfiler
    gpu: GpuWatch

    def passes(self, step: int) -> tuple[int, int]:
        """The number, from 0, of the epoch's `step` among the forward passes of its optimizer step, and their count."""
        number, first = step % self.recipe.accumulation, step - step % self.recipe.accumulation
        return number, min(self.recipe.accumulation, self.steps - first)

    def logits(self, photos: Tensor) -> Tensor:
        """The network's output (N, classes) for float photos (N, 3, S, S), in the training's precision."""
        laid_out = self.precision.laid_out(photos)
        if self.recipe.compile:
            from torch import _dynamo

            # After the second of two sides torch.compile would make code for all sides, which is slower than code for
            # each (https://docs.pytorch.org/docs/stable/torch.compiler_dynamic_shapes.html).
            for dimension in (2, 3):
                _dynamo.mark_static(laid_out, dimension)
        with self.precision.autocast():
            logits: Tensor = self.network(laid_out)
        return logits


def train_epoch(
    training: Training, batches: Iterator[Batch], progress: Progress, save: Callable[[Progress], None]
) -> None:
    """Train the rest of the epoch of `progress`, and update `progress`.

    `save` writes a checkpoint; all ranks call it at the same step, between two optimizer steps.

    Raises, on all ranks together, StepError when a shard of any rank is damaged or the loss is not finite, and
    InterruptedTrainingError, between two optimizer steps, when any rank received a signal.
    """
    watch = _Stopwatch(progress)
    device = training.precision.device
    loss_sum = torch.zeros((), dtype=torch.float64, device=device)
    norms = GradientNorms(device, progress.gradient_norms)
    # Every rank sums its own losses; the sum from a checkpoint is that of all ranks and counts once.
    before, progress.loss_sum = progress.loss_sum, 0.0

    def settle() -> None:
        progress.loss_sum = before + float(training.group.total(loss_sum))
        progress.gradient_norms = norms.read()
        watch.write(progress)

    while progress.step < training.steps:
        waiting = time.monotonic()
        batch, failure = _next(batches)
        watch.waited += time.monotonic() - waiting
        any_failed, is_interrupted, is_due = _agree(training, failure)
        if any_failed:
            training.group.fail_together(failure)
        if training.passes(progress.step)[0] == 0:
            if is_interrupted:
                settle()
                raise InterruptedTrainingError
            if is_due:
                settle()
                save(progress)
        assert batch is not None
        photos = batch.targets.shape[0]
        loss_sum += _step(training, batch, progress, norms) * photos
        progress.step += 1
        progress.photos += photos * training.group.world.size
        if progress.step % CHECK_STEPS == 0 or progress.step == training.steps:
            _refuse_not_finite(training, loss_sum, progress)
            training.gpu.sample()
            watch.report(training, progress, before + float(loss_sum) * training.group.world.size)
    settle()


def rehearse(training: Training, batch: int) -> None:
    """A pass over `batch` blank photos of the whole side, without effect on the training. A collective.

    Its gradients are exchanged, because DistributedDataParallel orders them by its first backward pass, and more than
    two ranks' gradients are rounded by their order: a resumed training would differ in its first step. And a batch of
    whole photos that does not fit into memory fails here, not after epochs of smaller ones.
    """
    network, recipe, device = training.network, training.recipe, training.precision.device
    statistics = [buffer.clone() for buffer in network.buffers()]
    photos = torch.zeros(batch, 3, recipe.image_size, recipe.image_size, device=device)
    targets = torch.zeros(batch, dtype=torch.long, device=device)
    training.objective(training.logits(photos), targets).backward()
    training.optimizer.zero_grad(set_to_none=True)
    for buffer, value in zip(network.buffers(), statistics, strict=True):
        buffer.copy_(value)


def _next(batches: Iterator[Batch]) -> tuple[Batch | None, StepError | None]:
    try:
        return next(batches), None
    except StepError as error:
        return None, error
    except StopIteration:
        return None, StepError("a loader ended before its epoch; the index counts more photos than the shards contain")


def _agree(training: Training, failure: StepError | None) -> Iterator[bool]:
    """Whether any rank failed, was interrupted, or is due for a checkpoint.

    The ranks agree before each step, so that none enters a gradient exchange without the others.
    """
    due = time.monotonic() - training.checkpointed > 60 * training.recipe.checkpoint_minutes
    mine = (failure is not None, training.interruption.requested, due)
    return (value > 0 for value in training.group.maximum([float(flag) for flag in mine]))


def _step(training: Training, batch: Batch, progress: Progress, norms: GradientNorms) -> Tensor:
    """A forward and backward pass, and the optimizer's step if it is due. Returns the loss, on the device."""
    recipe, device = training.recipe, training.precision.device
    number, passes = training.passes(progress.step)
    # Seed augmentation and dropout by the position in the training, so that a resumed training draws the same.
    place = (recipe.seed, progress.epoch, progress.step, training.group.world.rank)
    torch.manual_seed(generator_of("step", *place).getrandbits(63))
    photos, targets = (tensor.to(device, non_blocking=True) for tensor in (batch.photos, batch.targets))
    if number == 0:
        training.optimizer.zero_grad(set_to_none=True)
    last = number == passes - 1
    # Before the last pass the ranks do not exchange gradients.
    with nullcontext() if last else training.network.no_sync():
        augmented = augment(photos, random_affine=recipe.random_affine)
        if progress.epoch < recipe.half_size_epochs:
            augmented = halved(augmented)
        loss: Tensor = training.objective(training.logits(augmented), targets)
        training.scaler.scale(loss / passes).backward()  # type: ignore[no-untyped-call]
    if last:
        norms.add(_update(training, progress))
    return loss.detach()


def _update(training: Training, progress: Progress) -> Tensor:
    """An optimizer step. Returns the norm of the gradient before clipping."""
    recipe, optimizer = training.recipe, training.optimizer
    step = progress.epoch * training.steps + progress.step
    set_learning_rate(optimizer, learning_rate(recipe, step, training.steps))
    training.scaler.unscale_(optimizer)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if recipe.clip_norm:
        norm: Tensor = nn.utils.clip_grad_norm_(parameters, recipe.clip_norm)
    else:
        norm = gradient_norm(parameters)
    training.scaler.step(optimizer)
    training.scaler.update()
    if training.average:
        training.average.update()
    training.profiler.step()
    return norm


def _refuse_not_finite(training: Training, loss_sum: Tensor, progress: Progress) -> None:
    error = None
    if not math.isfinite(float(loss_sum)):
        error = StepError(
            f"the training loss is not a finite number in epoch {progress.epoch + 1}, step {progress.step} "
            f"(rank {training.group.world.rank}); use a smaller learning rate than {training.recipe.learning_rate}"
        )
    training.group.fail_together(error)


class _Stopwatch:
    """The time of an epoch and its share of waiting for data, including the time before an interruption."""

    def __init__(self, progress: Progress) -> None:
        self._began = time.monotonic() - progress.seconds
        self.waited = progress.waited
        self._reported = time.monotonic()

    def write(self, progress: Progress) -> None:
        progress.seconds = time.monotonic() - self._began
        progress.waited = self.waited

    def report(self, training: Training, progress: Progress, loss_sum: float) -> None:
        if time.monotonic() - self._reported < REPORT_SECONDS:
            return
        self._reported = time.monotonic()
        self.write(progress)
        line = progress_line(
            epoch=progress.epoch + 1,
            step=progress.step,
            steps=training.steps,
            loss=loss_sum / progress.photos,
            images_per_second=progress.photos / progress.seconds,
            waiting=progress.waited / progress.seconds,
        )
        log.info(line)
