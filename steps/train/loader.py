"""Batches of photos from loader processes, which decode them into memory that they share with this process.

Every loader process has a ring of slots with one batch each. It sends tickets: the number of a full slot, and its
number of photos. PyTorch's own passing of tensors needs new memory for every batch, which costs a quarter of the time
of decoding: the system clears each page before a process may write to it.

Errors reach the training process as values, since an exception that crosses processes loses its type and its one line.
"""

from __future__ import annotations

import itertools
import signal
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from steps.contracts.errors import StepError
from steps.train.reading import Reading

# Batches that a loader process may prepare in advance.
PREFETCH = 3
# One more batch is in use, and one slot is in reserve.
SLOTS = PREFETCH + 2

_NO_EPOCH = -1


class Batch(NamedTuple):
    """Photos uint8 (n, 3, S, S), targets int64 (n,), and places int64 (n,) among the photos that calibrate, or -1."""

    photos: Tensor
    targets: Tensor
    places: Tensor


_rings: weakref.WeakValueDictionary[int, _Ring] = weakref.WeakValueDictionary()
_ring_numbers = itertools.count()


@dataclass(frozen=True)
class _Failure:
    """The end of a loader process by a StepError, with its message."""

    message: str


@dataclass(frozen=True)
class _Ticket:
    """A full slot. `number` counts the batches of a loader process."""

    ring: int
    worker: int
    number: int
    photos: int

    def batch(self) -> Batch:
        """The batch, a view of its slot. Raises StepError when the slot was used again."""
        return _rings[self.ring].batch(self)

    def pin_memory(self) -> Batch:
        """A copy in memory that a GPU reads directly; PyTorch calls this in a thread of its own."""
        return Batch(*(tensor.pin_memory() for tensor in self.batch()))


class _Ring:
    """The slots of all loader processes of a loader, in shared memory where there are any."""

    def __init__(self, workers: int, batch_size: int, image_size: int) -> None:
        self.number = next(_ring_numbers)
        shape = (max(1, workers), SLOTS, batch_size)
        self.photos = torch.empty((*shape, 3, image_size, image_size), dtype=torch.uint8)
        self.targets = torch.empty(shape, dtype=torch.int64)
        self.places = torch.empty(shape, dtype=torch.int64)
        # The number of the batch in each slot.
        self.holds = torch.full(shape[:2], -1, dtype=torch.int64)
        if workers:
            for tensor in (self.photos, self.targets, self.places, self.holds):
                tensor.share_memory_()  # type: ignore[no-untyped-call]
        _rings[self.number] = self

    def claim(
        self, worker: int, number: int, size: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
        """The slot for a loader process's batch `number`, as arrays over its memory."""
        slot = number % SLOTS
        self.holds[worker, slot] = number
        photos, targets, places = (
            tensor[worker, slot, :size].numpy() for tensor in (self.photos, self.targets, self.places)
        )
        return photos, targets, places

    def batch(self, ticket: _Ticket) -> Batch:
        slot = ticket.number % SLOTS
        if self.holds[ticket.worker, slot] != ticket.number:
            raise StepError(f"loader process {ticket.worker} is more than {PREFETCH} batches ahead")
        tensors = (self.photos, self.targets, self.places)
        return Batch(*(tensor[ticket.worker, slot, : ticket.photos] for tensor in tensors))


class _Stream(IterableDataset[_Ticket | _Failure]):
    """A rank's reading in PyTorch's loader processes.

    The processes exist as long as the loader, so they get the position of the next epoch through shared memory.
    """

    def __init__(self, reading: Reading, ring: _Ring) -> None:
        self._reading = reading
        self._ring = ring
        self._filled = 0
        self.position = torch.zeros(2, dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    def __iter__(self) -> Iterator[_Ticket | _Failure]:
        epoch, first_step = self.position.tolist()
        if epoch == _NO_EPOCH:
            return
        info = get_worker_info()
        worker = info.id if info else 0

        def place(size: int) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
            return self._ring.claim(worker, self._filled, size)

        try:
            for photos in self._reading.batches(epoch, first_step, worker, place):
                ticket = _Ticket(self._ring.number, worker, self._filled, photos)
                self._filled += 1
                yield ticket
        except StepError as error:
            yield _Failure(str(error))


class Loader:
    """A rank's loader of one split, with `workers` loader processes (0: the process itself loads).

    Enter it before the process has threads, such as those of its process group: a process that is forked while a thread
    starts or ends may wait for that thread without end.
    """

    def __init__(self, reading: Reading, *, workers: int, pin_memory: bool) -> None:
        self.largest_batch = reading.plan(0).largest_batch
        self._ring = _Ring(workers, self.largest_batch, reading.image_size)
        self._stream = _Stream(reading, self._ring)
        self._tickets = DataLoader(
            self._stream,
            batch_size=None,
            num_workers=workers,
            persistent_workers=workers > 0,
            prefetch_factor=PREFETCH if workers else None,
            pin_memory=pin_memory,
            worker_init_fn=_prepare_worker,
        )

    def __enter__(self) -> Loader:
        """Start the loader processes by an epoch without batches."""
        if self._tickets.num_workers:
            self._stream.position.fill_(_NO_EPOCH)
            for _ in self._tickets:
                pass
        return self

    def __exit__(self, *_: object) -> None:
        """End the loader processes.

        They ignore SIGTERM, which multiprocessing sends at the interpreter's exit before it waits for them.
        """
        running = self._tickets._iterator
        if running is None or not self._tickets.num_workers:
            return
        running._shutdown_workers()  # type: ignore[attr-defined]
        for process in running._workers:  # type: ignore[attr-defined]
            if process.is_alive():
                process.kill()

    def batches(self, epoch: int = 0, first_step: int = 0) -> Iterator[Batch]:
        """The epoch's batches from `first_step` on.

        A batch is valid until the next one is requested. Raises StepError when a shard or a loader process fails.
        """
        self._stream.position.copy_(torch.tensor([epoch, first_step]))
        try:
            for item in self._tickets:
                if isinstance(item, _Failure):
                    raise StepError(item.message)
                yield item.batch() if isinstance(item, _Ticket) else item
        except RuntimeError as error:
            raise StepError(
                f"a loader process ended: {str(error).splitlines()[0]}; "
                "if memory ran out, use fewer --workers or a smaller --batch-size"
            ) from error


def _prepare_worker(worker: int) -> None:
    """Use one thread, and ignore SIGTERM: the training process handles it and ends its loader processes itself."""
    import cv2

    del worker
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    cv2.setNumThreads(0)
