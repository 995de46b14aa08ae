"""The samples and batches of each process: arithmetic on shard sizes, without I/O or torch.

An epoch's shards, in the epoch's order, are one row of samples. Every rank takes a stretch of the row, cuts it into
batches, and assigns the batches to its loader processes in turn. This depends only on the sizes, the world, the seed
and the epoch, so each rank knows the number of steps of all others before the process group exists, and an epoch can be
resumed at any step.

        shard 2        shard 0          shard 1
    |--------------|----------------|--------------|     the row of epoch e
    |  rank 0               |  rank 1              |     equal stretches
    |  w0       | w1        |  w0       | w1       |     equal batches, assigned in turn to the loaders

A stretch that begins inside a shard skips the samples before it, so that few shards cost transfer, not samples.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from steps.contracts.errors import StepError

T = TypeVar("T")

# A batch of one photo has no variance for batch normalisation.
SMALLEST_BATCH = 2


@dataclass(frozen=True)
class Piece:
    """Samples `start` to `stop` (exclusive) of the shard with this index."""

    shard: int
    start: int
    stop: int

    @property
    def samples(self) -> int:
        """Number of samples."""
        return self.stop - self.start


@dataclass(frozen=True)
class WorkerPlan:
    """The samples of one loader process in an epoch (`pieces`, in order), and the sizes of their batches."""

    pieces: tuple[Piece, ...]
    batches: tuple[int, ...]


@dataclass(frozen=True)
class RankPlan:
    """A rank's epoch: batch `k` comes from loader process `k % len(workers)`."""

    workers: tuple[WorkerPlan, ...]

    @property
    def steps(self) -> int:
        """Batches of this rank."""
        return sum(len(worker.batches) for worker in self.workers)

    @property
    def largest_batch(self) -> int:
        """Photos in the largest batch; batches are equal to within one, and seldom as large as permitted."""
        return max(size for worker in self.workers for size in (*worker.batches, 0))


@dataclass(frozen=True)
class Share:
    """A rank with its number of loader processes and largest batch."""

    rank: int
    world_size: int
    workers: int
    batch_size: int


def training_plan(shard_sizes: Sequence[int], share: Share, seed: int, epoch: int) -> RankPlan:
    """A rank's training epoch.

    Every rank has the same number of samples and of steps, with batches of the same sizes; every sample is read once,
    at most `world_size - 1` of them twice. Raises StepError when a batch would have a single sample.
    """
    total = sum(shard_sizes)
    samples = -(-total // share.world_size)
    if samples < SMALLEST_BATCH or share.batch_size < SMALLEST_BATCH:
        raise StepError(
            f"{total} training photos for {share.world_size} processes in batches of {share.batch_size}: "
            f"each batch needs at least {SMALLEST_BATCH}; use more photos, fewer instances or a larger --batch-size"
        )
    # floor(rank * total / size) + ceil(total / size) never passes the next rank's start by more than one sample.
    start = share.rank * total // share.world_size
    row = _whole(shard_sizes)
    generator_of("shard order", seed, epoch).shuffle(row)
    return _deal(list(_cut(row, start, start + samples)), share)


def validation_plan(shard_sizes: Sequence[int], share: Share) -> RankPlan:
    """A rank's part of the validation split: over all ranks every sample exactly once; a part may be empty."""
    total = sum(shard_sizes)
    start, stop = (rank * total // share.world_size for rank in (share.rank, share.rank + 1))
    return _deal(list(_cut(_whole(shard_sizes), start, stop)), share)


def even_batches(samples: int, batch_size: int) -> list[int]:
    """Sizes of the fewest batches of at most `batch_size` for `samples`, equal to within one.

    Equal sizes, because a last batch of a few photos has poor statistics for batch normalisation.
    """
    steps = -(-samples // batch_size)
    return [(k + 1) * samples // steps - k * samples // steps for k in range(steps)]


def _whole(shard_sizes: Sequence[int]) -> list[Piece]:
    return [Piece(shard, 0, size) for shard, size in enumerate(shard_sizes)]


def _deal(stretch: Sequence[Piece], share: Share) -> RankPlan:
    """A rank's stretch of the row, cut into batches that are assigned to the loader processes in turn."""
    batches = even_batches(sum(piece.samples for piece in stretch), share.batch_size)
    # A loader process without a batch would only use memory.
    count = max(1, min(share.workers, len(batches)))
    plans, start = [], 0
    for worker in range(count):
        sizes = tuple(batches[worker::count])
        plans.append(WorkerPlan(tuple(_cut(stretch, start, start + sum(sizes))), sizes))
        start += sum(sizes)
    return RankPlan(tuple(plans))


def _cut(row: Sequence[Piece], start: int, stop: int) -> Iterator[Piece]:
    """The samples `start` to `stop` of a row of pieces."""
    offset = 0
    for piece in row:
        first, last = max(start - offset, 0), min(stop - offset, piece.samples)
        if first < last:
            yield Piece(piece.shard, piece.start + first, piece.start + last)
        offset += piece.samples


def generator_of(*place: object) -> random.Random:
    """A random generator that depends on `place` (purpose, seed, epoch...); the same in every process."""
    return random.Random(" ".join(map(str, place)))  # noqa: S311  # no secret


def batches_before(step: int, worker: int, workers: int) -> int:
    """Number of batches of loader process `worker` among the first `step` batches of a rank."""
    return len(range(worker, step, workers))


def shuffle_buffer(items: Iterable[T], size: int, generator: random.Random) -> Iterator[T]:
    """`items` in random order through a buffer: each yielded item is drawn from up to `size` waiting ones.

    The first items are yielded when a tenth of the buffer is full, and it fills meanwhile, so that an epoch begins at
    once. The draws depend only on the number of items and the generator, not on the items.
    """
    source = iter(items)
    buffer = list(itertools.islice(source, max(1, size // 10)))
    for item in source:
        buffer.append(item)
        if len(buffer) < size:
            buffer.extend(itertools.islice(source, 1))
        drawn = generator.randrange(len(buffer))
        buffer[drawn], buffer[-1] = buffer[-1], buffer[drawn]
        yield buffer.pop()
    generator.shuffle(buffer)
    yield from buffer
