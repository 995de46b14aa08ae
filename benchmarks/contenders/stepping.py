"""Training on one batch in memory, without a loader: the training step's loop, a naive one, and a matrix product."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from benchmarks.child import Work
from benchmarks.step_arguments import TRAIN, flags_of

if TYPE_CHECKING:
    import torch

    from steps.train.loader import Batch

CLASSES = range(6)
WARM_UP = 5


def ours(architecture: str, size: int, batch_size: int, steps: int) -> Work:
    """`steps.train.loop.train_epoch` on one rank, as `steps.train.trial` builds it."""
    import torch

    from steps.model.network import build_network
    from steps.train.checkpoint import Progress
    from steps.train.collectives import Group, process_group
    from steps.train.diagnostics import GpuWatch
    from steps.train.interruption import Interruption
    from steps.train.loader import Batch
    from steps.train.loop import Training, train_epoch
    from steps.train.objective import Objective
    from steps.train.optimizer import build_optimizer
    from steps.train.precision import Precision
    from steps.train.profiling import step_profiler
    from steps.train.recipe import read_recipe
    from steps.train.world import BackendChoice, World

    device = _device()
    chosen = {"architecture": architecture, "image-size": size, "batch-size": batch_size}
    recipe = read_recipe(flags_of({**TRAIN, **chosen, "epochs": 1, "checkpoint-minutes": 1e6}))
    network = build_network(architecture, len(CLASSES), size, seed=1).to(device, memory_format=torch.channels_last)
    photos = torch.randint(0, 256, (batch_size, 3, size, size), dtype=torch.uint8)
    targets = torch.arange(batch_size) % len(CLASSES)
    if device.type == "cuda":
        photos, targets = photos.pin_memory(), targets.pin_memory()

    def build(group: Group) -> Training:
        precision = Precision.choose("auto", device)
        return Training(
            recipe=recipe,
            group=group,
            network=torch.nn.parallel.DistributedDataParallel(network, gradient_as_bucket_view=True),
            optimizer=build_optimizer(network, recipe),
            scaler=precision.gradient_scaler(),
            objective=Objective([1.0] * len(CLASSES), list(CLASSES), 0.0).to(device),
            precision=precision,
            interruption=Interruption(),
            steps=steps,
            checkpointed=time.monotonic(),
            average=None,
            profiler=step_profiler(0, device, is_leader=True),
            gpu=GpuWatch(device),
        )

    def work() -> dict[str, float] | None:
        choice = BackendChoice("nccl" if device.type == "cuda" else "gloo", "benchmark")
        with process_group(World(), choice, device) as group:
            training = build(group)

            def run(count: int) -> None:
                training.steps = count
                train_epoch(
                    training,
                    _times(Batch(photos, targets, torch.full_like(targets, -1)), count),
                    Progress(),
                    lambda _: None,
                )

            return _timed(run, batch_size, steps, device)()

    return work


def naive(architecture: str, size: int, batch_size: int, steps: int) -> Work:
    """Float32 batches, parameters averaged by hand besides DDP, the loss printed and the cache emptied in each step."""
    import torch
    import torch.distributed as dist

    from steps.model.network import import_torchvision

    device = _device()
    models = import_torchvision()
    torch.manual_seed(1)
    network = getattr(models, architecture)(num_classes=len(CLASSES)).to(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    model = torch.nn.parallel.DistributedDataParallel(network)
    criterion = torch.nn.CrossEntropyLoss(torch.ones(len(CLASSES), device=device))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=1e-4)
    photos = torch.randn(batch_size, 3, size, size)
    targets = torch.arange(batch_size) % len(CLASSES)

    def run(count: int) -> None:
        model.train()
        for number in range(count):
            data, target = photos.to(device), targets.to(device)
            optimizer.zero_grad()
            loss = criterion(model(data), target)
            loss.backward()
            for parameter in model.parameters():
                dist.all_reduce(parameter, op=dist.ReduceOp.SUM)
                parameter.data /= dist.get_world_size()
            optimizer.step()
            torch.cuda.empty_cache()
            print(f"step {number}, loss {loss.item():.6f}", file=sys.stderr)

    return _timed(run, batch_size, steps, device)


def matrix_rate(architecture: str, size: int, batch_size: int, steps: int) -> Work:
    """Photos per second if the network's operations ran as fast as one large matrix product on this device.

    bf16 where the device has tensor cores for it, float32 elsewhere. A training step is three forward passes.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from steps.model.network import build_network
    from steps.train.precision import Precision

    device = _device()
    dtype = Precision.choose("auto", device).autocast_to or torch.float32
    side = 8192 if device.type == "cuda" else 2048
    network = build_network(architecture, len(CLASSES), size, seed=1)
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode():
        network.eval()(torch.zeros(1, 3, size, size, dtype=torch.uint8))
    operations = 3 * counter.get_total_flops()
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))

    def run(count: int) -> None:
        for _ in range(count):
            torch.mm(a, b)

    del batch_size
    timed = _timed(run, 1, steps, device)

    def work() -> dict[str, float]:
        figures = timed()
        assert figures is not None
        return {"rate": figures["rate"] * 2 * side**3 / operations}

    return work


def _timed(run: Callable[[int], None], photos: int, steps: int, device: torch.device) -> Work:
    import torch

    def finished() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    def work() -> dict[str, float]:
        run(WARM_UP)
        finished()
        started = time.perf_counter()
        run(steps)
        finished()
        return {"rate": photos * steps / (time.perf_counter() - started)}

    return work


def _times(batch: Batch, count: int) -> Iterator[Batch]:
    for _ in range(count):
        yield batch


def _device() -> torch.device:
    import torch

    torch.backends.cudnn.benchmark = True
    torch.set_num_threads(int(os.environ.get("SM_NUM_CPUS") or os.cpu_count() or 1))
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
