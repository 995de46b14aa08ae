"""Batches of photos, streamed from the shards in S3 by loader processes, in the order that the plan gives.

A loader process reads its pieces of shards one after another, keeps undecoded photos in a shuffle buffer, and decodes
as they leave it. `read_shard` verifies each shard while it streams; what is wrong reaches the training process as a
value, since an exception that crosses processes loses its type and its one line.
"""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from steps.common.dataset import Shard
from steps.common.errors import StepError
from steps.common.images import ImageError, network_input
from steps.train import assignment
from steps.train.assignment import Piece, RankPlan, WorkerPlan

if TYPE_CHECKING:
    from steps.common.shards import Sample

# Undecoded photos a loader process keeps for shuffling: some 40 MB of JPEGs of 256 pixels.
SHUFFLE_BUFFER = 2000

T = TypeVar("T")
Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Failure:
    """Why a loader process stopped: the message of its StepError."""

    message: str


@dataclass(frozen=True)
class Reading:
    """What all loader processes of a rank share. `plan` gives the rank's plan of an epoch (from 0)."""

    shards: Sequence[Shard]
    classes: Sequence[int]
    image_size: int
    plan: Callable[[int], RankPlan]
    shuffle_seed: int | None = None
    buffer: int = SHUFFLE_BUFFER

    def batches(self, epoch: int, first_step: int, worker: int) -> Iterator[Batch]:
        """Batches of one loader process from the rank's step `first_step` on.

        uint8 (n, 3, S, S) and int64 (n,), the indices of the quantities in `classes`. `worker` counts in the order
        in which the processes are asked, so the first one gives the batch of `first_step`.
        """
        plan = self.plan(epoch)
        count = len(plan.workers)
        number = (worker + first_step) % count
        mine = plan.workers[number]
        done = assignment.batches_before(first_step, number, count)
        samples = self._samples(mine, skip=sum(mine.batches[:done]), seed=("buffer", self.shuffle_seed, epoch, number))
        for size in mine.batches[done:]:
            yield self._decoded(list(itertools.islice(samples, size)))

    def _samples(self, plan: WorkerPlan, skip: int, seed: tuple[object, ...]) -> Iterator[tuple[Shard, Sample]]:
        """The process's samples in their order, without the first `skip`, whose bytes are not kept."""
        total = sum(piece.samples for piece in plan.pieces)
        # Which arrivals were given before: the draws are the same for numbers as for photos.
        given = set(itertools.islice(self._in_order(iter(range(total)), seed), skip))
        for arrival in itertools.islice(self._in_order(self._arriving(plan.pieces, given), seed), skip, None):
            assert arrival is not None
            yield arrival

    def _in_order(self, items: Iterator[T], seed: tuple[object, ...]) -> Iterator[T]:
        """The items in the order in which they are given: shuffled in training, as they come in validation."""
        if self.shuffle_seed is None:
            return items
        return assignment.shuffle_buffer(items, self.buffer, assignment.generator_of(*seed))

    def _arriving(self, pieces: Sequence[Piece], given: set[int]) -> Iterator[tuple[Shard, Sample] | None]:
        """Samples as they stream in; None for those given before. A shard with nothing else is not opened."""
        position = 0
        for piece in pieces:
            positions = range(position, position + piece.samples)
            position = positions.stop
            if given.issuperset(positions):
                yield from itertools.repeat(None, piece.samples)
                continue
            for number, sample in zip(positions, self._piece(piece), strict=True):
                yield None if number in given else (self.shards[piece.shard], sample)

    def _piece(self, piece: Piece) -> Iterator[Sample]:
        from steps.common.shards import read_shard

        shard = self.shards[piece.shard]
        samples = read_shard(shard)
        yield from itertools.islice(samples, piece.start, piece.stop)
        if piece.stop == shard.samples:
            # To the end of the stream, where the digest and the count are compared.
            for _ in samples:
                pass

    def _decoded(self, samples: Sequence[tuple[Shard, Sample]]) -> Batch:
        photos = np.empty((len(samples), 3, self.image_size, self.image_size), np.uint8)
        targets = np.empty(len(samples), np.int64)
        for row, (shard, sample) in enumerate(samples):
            try:
                photos[row] = network_input(sample.jpeg, self.image_size)
            except ImageError as error:
                raise StepError(f"{shard.uri}: photo {sample.image_id}: {error}; shard the photos again") from error
            if sample.quantity not in self.classes:
                raise StepError(
                    f"{shard.uri}: photo {sample.image_id} has quantity {sample.quantity}, which the index does not "
                    "count in training; shard the photos again"
                )
            targets[row] = self.classes.index(sample.quantity)
        return torch.from_numpy(photos), torch.from_numpy(targets)


class _Stream(IterableDataset[Batch | Failure]):
    """A rank's reading as PyTorch's loader processes run it.

    They live as long as the loader, so where the next epoch begins reaches them through shared memory.
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self.position = torch.zeros(2, dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    def __iter__(self) -> Iterator[Batch | Failure]:
        epoch, first_step = self.position.tolist()
        worker = get_worker_info()
        try:
            yield from self._reading.batches(epoch, first_step, worker.id if worker else 0)
        except StepError as error:
            yield Failure(str(error))


class Loader:
    """A rank's loader of one split, with `workers` loader processes (0: the process itself loads)."""

    def __init__(self, reading: Reading, *, workers: int, pin_memory: bool) -> None:
        self._stream = _Stream(reading)
        self._batches = DataLoader(
            self._stream,
            batch_size=None,
            num_workers=workers,
            persistent_workers=workers > 0,
            prefetch_factor=4 if workers else None,
            pin_memory=pin_memory,
            worker_init_fn=_prepare_worker,
        )

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_: object) -> None:
        """End the loader processes.

        They ignore SIGTERM, by which multiprocessing would end them when the interpreter exits, and then wait for them.
        """
        running = self._batches._iterator
        if running is None or not self._batches.num_workers:
            return
        running._shutdown_workers()  # type: ignore[attr-defined]
        for process in running._workers:  # type: ignore[attr-defined]
            if process.is_alive():
                process.kill()

    def batches(self, epoch: int = 0, first_step: int = 0) -> Iterator[Batch]:
        """The epoch's batches from `first_step` on. Raises StepError when a shard or a loader process fails."""
        self._stream.position.copy_(torch.tensor([epoch, first_step]))
        try:
            for item in self._batches:
                if isinstance(item, Failure):
                    raise StepError(item.message)
                yield item
        except RuntimeError as error:
            raise StepError(
                f"a loader process ended: {str(error).splitlines()[0]}; "
                "if memory ran out, use fewer --workers or a smaller --batch-size"
            ) from error


def _prepare_worker(worker: int) -> None:
    """One thread a loader process, and SIGTERM is for the training process, which ends its loaders itself."""
    import cv2

    del worker
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    cv2.setNumThreads(0)
