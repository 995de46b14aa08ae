"""One trial on this rank: its data, the network, and the state of its training."""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from steps.contracts.dataset import DatasetIndex
from steps.contracts.errors import StepError
from steps.contracts.names import SHARDS_CHANNEL
from steps.model.network import CountClassifier
from steps.runtime import container
from steps.shards.reading import Mount
from steps.train import assignment
from steps.train.average import WeightAverage
from steps.train.collectives import Group
from steps.train.diagnostics import GpuWatch
from steps.train.export import OnnxGraph
from steps.train.interruption import Interruption
from steps.train.loader import Loader
from steps.train.loop import Training
from steps.train.objective import Objective, class_weights
from steps.train.optimizer import build_optimizer
from steps.train.precision import Precision
from steps.train.profiling import step_profiler
from steps.train.reading import Reading
from steps.train.recipe import Recipe
from steps.train.world import World


class Loaders(NamedTuple):
    """A rank's loaders."""

    train: Loader
    validation: Loader


@dataclass
class Trial:
    """One trial on this rank."""

    recipe: Recipe
    index: DatasetIndex
    group: Group
    network: CountClassifier
    training: Training
    loaders: Loaders
    model_dir: Path
    checkpoint_dir: Path

    @functools.cached_property
    def graph(self) -> OnnxGraph:
        """The network's ONNX graph. Raises StepError for a network that cannot be exported."""
        return OnnxGraph(self.exportable(), self.recipe.image_size)

    @property
    def evaluated(self) -> CountClassifier:
        """The network that is validated and exported: the average of the weights, if there is one."""
        average = self.training.average
        return cast(CountClassifier, average.network) if average else self.network

    def exportable(self) -> CountClassifier:
        """The exported network, on the CPU."""
        return self.evaluated if self.training.precision.device.type == "cpu" else copy.deepcopy(self.evaluated).cpu()

    @property
    def fingerprint(self) -> dict[str, str]:
        """The values that a checkpoint must share with this trial."""
        return {**self.recipe.fingerprint(), "dataset": self.index.sha256, "processes": str(self.group.world.size)}


@dataclass(frozen=True)
class Readings:
    """This rank's training and validation data; computed before the ranks connect, from the same data on all."""

    train: Reading
    validation: Reading

    @classmethod
    def of(cls, recipe: Recipe, index: DatasetIndex, world: World) -> Readings:
        """Plan by the index's shard sizes. Raises StepError for too few photos for this number of processes."""
        train, validation = index.splits["train"].shards, index.splits["validation"].shards
        share = assignment.Share(world.rank, world.size, recipe.workers, recipe.batch_size)
        train_sizes, validation_sizes = ([shard.samples for shard in shards] for shards in (train, validation))
        plan = functools.partial(assignment.training_plan, train_sizes, share, recipe.seed)
        validation_plan = assignment.validation_plan(validation_sizes, share)
        plan(0)
        channel = container.training_channel(SHARDS_CHANNEL)
        mount = Mount(recipe.shards_location, channel) if recipe.shards_location else None
        return cls(
            Reading(train, index.classes, recipe.image_size, plan, shuffle_seed=recipe.seed, mount=mount),
            Reading(
                validation,
                index.classes,
                recipe.image_size,
                lambda _: validation_plan,
                calibration={image_id: place for place, image_id in enumerate(index.calibration)},
                mount=mount,
            ),
        )

    @contextmanager
    def loaders(self, workers: int, *, pin_memory: bool) -> Iterator[Loaders]:
        """Loaders of both splits, with their processes, while the block runs."""
        train, validation = (
            Loader(reading, workers=min(workers, len(reading.plan(0).workers)), pin_memory=pin_memory)
            for reading in (self.train, self.validation)
        )
        with validation, train:
            yield Loaders(train, validation)

    @property
    def steps(self) -> int:
        """Training steps per epoch, the same on all ranks and in all epochs."""
        return self.train.plan(0).steps


def build_trial(
    recipe: Recipe,
    index: DatasetIndex,
    steps: int,
    network: CountClassifier,
    loaders: Loaders,
    *,
    precision: Precision,
    group: Group,
    interruption: Interruption,
) -> Trial:
    """Move the network to the device and set up its training. A collective: DDP distributes rank 0's weights."""
    device = precision.device
    if recipe.sync_batch_norm:
        if device.type != "cuda":
            raise StepError("--sync-batch-norm needs GPUs; set training.sync_batch_norm to false")
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    weights = class_weights(index.splits["train"].class_counts, index.classes, recipe.class_weighting)
    trained = torch.compile(network) if recipe.compile else network
    training = Training(
        recipe=recipe,
        group=group,
        network=DistributedDataParallel(trained, gradient_as_bucket_view=True),
        optimizer=build_optimizer(network, recipe),
        scaler=precision.gradient_scaler(),
        objective=Objective(weights, index.classes, recipe.label_smoothing, recipe.ordinal_weight).to(device),
        precision=precision,
        interruption=interruption,
        steps=steps,
        checkpointed=time.monotonic(),
        average=WeightAverage(network, recipe.ema_decay) if recipe.ema_decay else None,
        profiler=step_profiler(recipe.profile_steps, device, is_leader=group.world.is_leader),
        gpu=GpuWatch(device),
    )
    return Trial(recipe, index, group, network, training, loaders, container.model_dir(), container.checkpoint_dir())
