"""What one loader process does: a WebDataset pipeline from its part of the plan to batches of decoded photos.

    requests -> url_opener -> samples -> in order -> batches

Shards stream through WebDataset's opener, by the scheme that `steps.shards.reading` registers. The stages after it are
our own: WebDataset's tar reader passes samples that are not whole and shards that end early in silence, its shuffle
cannot be entered in the middle of an epoch, and both take their time from the decoder.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

# All before loader processes are forked: each would spend its first third of a second on them.
import boto3  # noqa: F401
import cv2  # noqa: F401
import numpy as np
import simplejpeg  # noqa: F401
from numpy.typing import NDArray
from webdataset import DataPipeline
from webdataset.tariterators import url_opener

from steps.contracts.dataset import Shard
from steps.contracts.errors import StepError
from steps.photos.jpeg import ImageError, write_network_input
from steps.shards.reading import Mount, Sample, register_webdataset_scheme, samples_in
from steps.train import assignment
from steps.train.assignment import Piece, RankPlan, WorkerPlan

# Undecoded photos a loader process keeps for shuffling. Shards are written in an order that looks like chance, so what
# the buffer adds is that the same photos do not meet in every epoch; a larger one does not stay in a processor's cache.
SHUFFLE_BUFFER = 500

# Where a batch goes: photos uint8 (n, 3, S, S) and targets int64 (n,), for as many photos as are asked for.
Place = Callable[[int], tuple[NDArray[np.uint8], NDArray[np.int64]]]
# A sample, its shard, and when it arrives among all of its loader process and epoch, counted from 0.
Arrival = tuple[int, "Shard", "Sample"]


@dataclass(frozen=True)
class Reading:
    """What all loader processes of a rank share. `plan` gives the rank's plan of an epoch (from 0)."""

    shards: Sequence[Shard]
    classes: Sequence[int]
    image_size: int
    plan: Callable[[int], RankPlan]
    shuffle_seed: int | None = None
    buffer: int = SHUFFLE_BUFFER
    mount: Mount | None = None

    def batches(self, epoch: int, first_step: int, worker: int, place: Place) -> Iterator[int]:
        """Fill one place after another with the batches of a loader process, from the rank's step `first_step` on.

        Gives how many photos are in each; the targets are the indices of the quantities in `classes`. `worker` counts
        in the order in which the processes are asked, so the first one gives the batch of `first_step`.
        """
        plan = self.plan(epoch)
        count = len(plan.workers)
        number = (worker + first_step) % count
        mine = plan.workers[number]
        done = assignment.batches_before(first_step, number, count)
        order = _Order(self, mine, skip=sum(mine.batches[:done]), seed=("buffer", self.shuffle_seed, epoch, number))
        register_webdataset_scheme(self.shards, self.mount)
        pipeline = DataPipeline(
            lambda: self._requests(mine.pieces, order),
            url_opener,
            _one_ahead,
            lambda requests: self._samples(requests, order),
            order.applied,
            lambda samples: self._batches(samples, mine.batches[done:], place),
        )
        return iter(pipeline)

    def _requests(self, pieces: Sequence[Piece], order: _Order) -> Iterator[dict[str, Any]]:
        """The shards to open, as WebDataset wants them; none that holds only samples that were given before."""
        first = 0
        for piece in pieces:
            if order.wants(range(first, first + piece.samples)):
                yield {"url": self.shards[piece.shard].uri, "piece": piece, "first": first}
            first += piece.samples

    def _samples(self, requests: Iterable[dict[str, Any]], order: _Order) -> Iterator[Arrival]:
        """The samples that are wanted, as they stream in."""
        for request in requests:
            piece, shard = request["piece"], self.shards[request["piece"].shard]
            with request["stream"] as stream:
                samples = samples_in(stream, shard)
                for number, sample in enumerate(itertools.islice(samples, piece.start, piece.stop), request["first"]):
                    if number not in order.given:
                        yield number, shard, sample
                if piece.stop == shard.samples:
                    # To the end of the stream, where the digest and the count are compared.
                    for _ in samples:
                        pass

    def _batches(self, samples: Iterator[tuple[Shard, Sample]], sizes: Sequence[int], place: Place) -> Iterator[int]:
        quantities = {quantity: index for index, quantity in enumerate(self.classes)}
        for size in sizes:
            photos, targets = place(size)
            for row, (shard, sample) in zip(range(size), samples, strict=False):
                try:
                    write_network_input(sample.jpeg, photos[row])
                    targets[row] = quantities[sample.quantity]
                except ImageError as error:
                    raise StepError(f"{shard.uri}: photo {sample.image_id}: {error}; shard the photos again") from error
                except KeyError as error:
                    raise StepError(
                        f"{shard.uri}: photo {sample.image_id} has quantity {sample.quantity}, which the index does "
                        "not count in training; shard the photos again"
                    ) from error
            yield size


class _Order:
    """In which order a loader process gives its samples: shuffled in training, as they arrive in validation.

    Known from the number of samples and the seed alone, so an epoch can be entered behind any sample.
    """

    def __init__(self, reading: Reading, plan: WorkerPlan, skip: int, seed: tuple[object, ...]) -> None:
        self._reading, self._seed, self._skip = reading, seed, skip
        self._total = sum(piece.samples for piece in plan.pieces)
        # By when they arrive, the samples that were given before the epoch was entered here.
        self.given = frozenset(itertools.islice(self._numbers(), skip))

    def _numbers(self) -> Iterator[int]:
        arrivals = range(self._total)
        if self._reading.shuffle_seed is None:
            return iter(arrivals)
        return assignment.shuffle_buffer(arrivals, self._reading.buffer, assignment.generator_of(*self._seed))

    def wants(self, numbers: range) -> bool:
        """Whether not all of these were given before."""
        return not self.given.issuperset(numbers)

    def applied(self, arrivals: Iterator[Arrival]) -> Iterator[tuple[Shard, Sample]]:
        """The samples in their order; at most a buffer of them waits for its turn."""
        waiting: dict[int, tuple[Shard, Sample]] = {}
        for wanted in itertools.islice(self._numbers(), self._skip, None):
            while wanted not in waiting:
                arrival = next(arrivals, None)
                if arrival is None:
                    raise StepError("the shards ended before the epoch; the index counts more photos than they hold")
                number, shard, sample = arrival
                waiting[number] = shard, sample
            yield waiting.pop(wanted)


def _one_ahead(requests: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The same requests, each given when the next one is open: its first chunk comes while this one is read."""
    previous = None
    for request in requests:
        if previous is not None:
            yield previous
        previous = request
    if previous is not None:
        yield previous
