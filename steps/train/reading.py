"""A loader process: a WebDataset pipeline from its part of the plan to batches of decoded photos.

    requests -> url_opener -> samples -> in order -> batches

Shards stream through WebDataset's opener, by the scheme that `steps.shards.reading` registers. The later stages are our
own: WebDataset's tar reader accepts incomplete samples and shards without an error, its shuffle cannot be resumed
within an epoch, and both take time from the decoder.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# Imported before loader processes are forked; otherwise each would spend a third of a second on these imports.
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
from steps.shards.reading import ALL_AGAIN, Mount, Sample, register_webdataset_scheme, samples_in
from steps.train import assignment
from steps.train.assignment import Piece, RankPlan, WorkerPlan

# Undecoded photos that a loader process keeps for shuffling. Shards are written in a pseudo-random order, so the buffer
# only varies which photos share a batch; a larger one does not stay in a processor's cache.
SHUFFLE_BUFFER = 500

# Memory for a batch of n photos: photos uint8 (n, 3, S, S), targets int64 (n,), and places int64 (n,) in `calibration`.
Place = Callable[[int], tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]]
# The place of a photo by which nothing is calibrated.
NOT_CALIBRATING = -1
# A sample's number, from 0, among all of its loader process and epoch, its shard, and the sample.
Arrival = tuple[int, "Shard", "Sample"]


@dataclass(frozen=True)
class Reading:
    """The data of all loader processes of a rank. `plan` returns the rank's plan of an epoch (from 0).

    `calibration` are the places of photos by which the model is calibrated, by their ids.
    """

    shards: Sequence[Shard]
    classes: Sequence[int]
    image_size: int
    plan: Callable[[int], RankPlan]
    calibration: Mapping[str, int] = field(default_factory=dict)
    shuffle_seed: int | None = None
    buffer: int = SHUFFLE_BUFFER
    mount: Mount | None = None

    def batches(self, epoch: int, first_step: int, worker: int, place: Place) -> Iterator[int]:
        """Fill one place after another with the batches of a loader process, from the rank's step `first_step` on.

        Yields the number of photos in each; the targets are the indices of the quantities in `classes`. `worker` counts
        in the order in which the processes are asked, so the first one has the batch of `first_step`.
        """
        plan = self.plan(epoch)
        count = len(plan.workers)
        number = (worker + first_step) % count
        mine = plan.workers[number]
        done = assignment.batches_before(first_step, number, count)
        sequence = _Sequence(
            self, mine, skip=sum(mine.batches[:done]), seed=("buffer", self.shuffle_seed, epoch, number)
        )
        register_webdataset_scheme(self.shards, self.mount)
        pipeline = DataPipeline(
            lambda: self._requests(mine.pieces, sequence),
            url_opener,
            _one_ahead,
            lambda requests: self._samples(requests, sequence),
            sequence.apply,
            lambda samples: self._batches(samples, mine.batches[done:], place),
        )
        return iter(pipeline)

    def _requests(self, pieces: Sequence[Piece], sequence: _Sequence) -> Iterator[dict[str, Any]]:
        """The shards to open, in WebDataset's form, without those whose samples were all used before."""
        first = 0
        for piece in pieces:
            if not sequence.past.issuperset(range(first, first + piece.samples)):
                yield {"url": self.shards[piece.shard].uri, "piece": piece, "first": first}
            first += piece.samples

    def _samples(self, requests: Iterable[dict[str, Any]], sequence: _Sequence) -> Iterator[Arrival]:
        """The needed samples, in the order of the stream."""
        for request in requests:
            piece, shard = request["piece"], self.shards[request["piece"].shard]
            with request["stream"] as stream:
                samples = samples_in(stream, shard)
                for number, sample in enumerate(itertools.islice(samples, piece.start, piece.stop), request["first"]):
                    if number not in sequence.past:
                        yield number, shard, sample
                if piece.stop == shard.samples:
                    # Read to the end of the stream, where the digest and the count are compared.
                    for _ in samples:
                        pass

    def _batches(self, samples: Iterator[tuple[Shard, Sample]], sizes: Sequence[int], place: Place) -> Iterator[int]:
        quantities = {quantity: index for index, quantity in enumerate(self.classes)}
        for size in sizes:
            photos, targets, places = place(size)
            for row, (shard, sample) in zip(range(size), samples, strict=False):
                try:
                    write_network_input(sample.jpeg, photos[row])
                    targets[row] = quantities[sample.quantity]
                    places[row] = self.calibration.get(sample.image_id, NOT_CALIBRATING)
                except ImageError as error:
                    raise StepError(f"{shard.uri}: photo {sample.image_id}: {error}; {ALL_AGAIN}") from error
                except KeyError as error:
                    raise StepError(
                        f"{shard.uri}: photo {sample.image_id} has quantity {sample.quantity}, which the index does "
                        f"not contain in training; {ALL_AGAIN}"
                    ) from error
            yield size


class _Sequence:
    """The order of a loader process's samples: shuffled in training, that of the stream in validation.

    It depends only on the number of samples and the seed, so that an epoch can be resumed behind any sample.
    """

    def __init__(self, reading: Reading, plan: WorkerPlan, skip: int, seed: tuple[object, ...]) -> None:
        self._reading, self._seed, self._skip = reading, seed, skip
        self._total = sum(piece.samples for piece in plan.pieces)
        # Numbers of the samples that were used before the epoch was resumed here.
        self.past = frozenset(itertools.islice(self._numbers(), skip))

    def _numbers(self) -> Iterator[int]:
        arrivals = range(self._total)
        if self._reading.shuffle_seed is None:
            return iter(arrivals)
        return assignment.shuffle_buffer(arrivals, self._reading.buffer, assignment.generator_of(*self._seed))

    def apply(self, arrivals: Iterator[Arrival]) -> Iterator[tuple[Shard, Sample]]:
        """The samples in this order; at most a buffer of them waits."""
        waiting: dict[int, tuple[Shard, Sample]] = {}
        for next_number in itertools.islice(self._numbers(), self._skip, None):
            while next_number not in waiting:
                arrival = next(arrivals, None)
                if arrival is None:
                    raise StepError("the shards ended before the epoch; the index counts more photos than they contain")
                number, shard, sample = arrival
                waiting[number] = shard, sample
            yield waiting.pop(next_number)


def _one_ahead(requests: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The same requests, each yielded when the next one is open, so that its first chunk arrives during this one."""
    for request, _ in itertools.pairwise(itertools.chain(requests, ({},))):
        yield request
