"""Which samples each process reads, and in which batches: arithmetic on shard sizes, without I/O or torch.

An epoch's shards, in the epoch's order, are one long row of samples. Every rank takes a stretch of the row, cuts it
into batches, and deals the batches to its loader processes. All that depends on the sizes, the world, the seed and
the epoch only, so each rank knows the number of steps of all others before the process group exists, and an epoch
can be entered at any step.

        shard 2        shard 0          shard 1
    |--------------|----------------|--------------|     the row of epoch e
    |  rank 0               |  rank 1              |     equal stretches
    |  w0       | w1        |  w0       | w1       |     equal batches, dealt to the loader processes

A stretch that begins inside a shard reads past the samples before it, so few shards cost transport, not samples.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from steps.contracts.errors import StepError

T = TypeVar("T")

# A batch of one photo gives batch normalisation no variance.
SMALLEST_BATCH = 2


@dataclass(frozen=True)
class Piece:
    """Samples `start` to `stop` (exclusive) of the shard with this index."""

    shard: int
    start: int
    stop: int

    @property
    def samples(self) -> int:
        """How many samples."""
        return self.stop - self.start


@dataclass(frozen=True)
class WorkerPlan:
    """What one loader process reads in an epoch (`pieces`, in order) and the sizes of the batches it makes of it."""

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
    def samples(self) -> int:
        """Samples of this rank."""
        return sum(sum(worker.batches) for worker in self.workers)


@dataclass(frozen=True)
class Share:
    """Whose plan it is: a rank's, with this many loader processes and photos a batch at most."""

    rank: int
    world_size: int
    workers: int
    batch_size: int


def training_plan(shard_sizes: Sequence[int], share: Share, seed: int, epoch: int) -> RankPlan:
    """A rank's training epoch.

    Every rank has the same number of samples and of steps, with batches of the same sizes; every sample is read
    once, at most `world_size - 1` of them twice. Raises StepError when a batch would have a single sample.
    """
    total = sum(shard_sizes)
    samples = -(-total // share.world_size)
    if samples < SMALLEST_BATCH or share.batch_size < SMALLEST_BATCH:
        raise StepError(
            f"{total} training photos for {share.world_size} processes in batches of {share.batch_size}: "
            f"each batch wants {SMALLEST_BATCH} at least; take more photos, fewer instances or a larger --batch-size"
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
    """`samples` in as few batches of at most `batch_size` as it takes, their sizes equal to within one.

    Equal sizes, because a last batch of a few photos would give batch normalisation poor statistics.
    """
    steps = -(-samples // batch_size)
    return [(k + 1) * samples // steps - k * samples // steps for k in range(steps)]


def _whole(shard_sizes: Sequence[int]) -> list[Piece]:
    return [Piece(shard, 0, size) for shard, size in enumerate(shard_sizes)]


def _deal(stretch: Sequence[Piece], share: Share) -> RankPlan:
    """A rank's stretch of the row, cut into batches that go round among the loader processes."""
    batches = even_batches(sum(piece.samples for piece in stretch), share.batch_size)
    # A loader process without a batch would only cost memory.
    count = max(1, min(share.workers, len(batches)))
    plans, start = [], 0
    for worker in range(count):
        dealt = tuple(batches[worker::count])
        plans.append(WorkerPlan(tuple(_cut(stretch, start, start + sum(dealt))), dealt))
        start += sum(dealt)
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
    """A random generator that depends on the purpose, the seed, the epoch... given; the same in every process."""
    return random.Random(" ".join(map(str, place)))  # noqa: S311  # no secret


def batches_before(step: int, worker: int, workers: int) -> int:
    """How many of the first `step` batches of a rank were loader process `worker`'s."""
    return len(range(worker, step, workers))


def shuffle_buffer(items: Iterable[T], size: int, generator: random.Random) -> Iterator[T]:
    """`items` in random order through a buffer: each item given is drawn from up to `size` that are waiting.

    The first are given when a tenth of the buffer is full, and it fills while they are, so that an epoch begins at
    once. The draws depend on the number of items and the generator only, never on the items.
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
