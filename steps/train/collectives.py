"""Communication between ranks besides gradients: flags, sums, bytes, and errors that end all ranks."""

from __future__ import annotations

import atexit
import datetime
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist

from steps.contracts.errors import StepError
from steps.train.world import BackendChoice, World

log = logging.getLogger(__name__)

T = TypeVar("T")

# Longer than rank 0 takes to write an artifact or a slow S3 takes to answer.
TIMEOUT = datetime.timedelta(minutes=15)
# smddp supports no second backend, so its small messages use the GPU too; with nccl they use gloo, which does not wait
# for the GPU and detects the end of a process on another machine at once.
_TORCH_BACKENDS = {"gloo": "gloo", "nccl": "cpu:gloo,cuda:nccl", "smddp": "smddp"}
# Kept until the next group or the process's end. Otherwise DistributedDataParallel's reducer has the last reference: it
# holds the interpreter's lock while it waits for the group's threads, which may be waiting for that lock.
_last_group: list[dist.ProcessGroup] = []
# A thread of the group's that asks for the lock once the interpreter has begun to end aborts the process, with a model
# written and an exit status of 134: its threads end before.
atexit.register(_last_group.clear)


class Group:
    """All ranks. Every method is a collective: all ranks call it, in the same order.

    If a rank has ended, the others raise StepError.
    """

    def __init__(self, world: World, device: torch.device) -> None:
        self.world = world
        self._device = device

    def maximum(self, values: Sequence[float]) -> list[float]:
        """The greatest value of any rank, element by element."""
        tensor = torch.tensor(values, dtype=torch.float64, device=self._device)
        with _peers_alive():
            dist.all_reduce(tensor, dist.ReduceOp.MAX)
        result: list[float] = tensor.tolist()
        return result

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any rank."""
        return self.maximum([float(flag)])[0] > 0

    def total(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over all ranks, on the CPU."""
        summed = tensor.detach().to(self._device, copy=True)
        with _peers_alive():
            dist.all_reduce(summed)
        return summed.cpu()

    def broadcast(self, data: bytes | None, source: int = 0) -> bytes:
        """The `data` of rank `source` on every rank; other ranks pass None."""
        length = torch.tensor([len(data or b"")], dtype=torch.int64, device=self._device)
        with _peers_alive():
            dist.broadcast(length, source)
        if not length.item():
            return b""
        if self.world.rank == source:
            buffer = torch.frombuffer(bytearray(data or b""), dtype=torch.uint8).to(self._device)
        else:
            buffer = torch.empty(int(length.item()), dtype=torch.uint8, device=self._device)
        with _peers_alive():
            dist.broadcast(buffer, source)
        return buffer.cpu().numpy().tobytes()

    def broadcast_tensors(self, tensors: Iterable[torch.Tensor]) -> None:
        """Overwrite the tensors with those of rank 0."""
        with _peers_alive():
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def fail_together(self, error: StepError | None) -> None:
        """Raise the StepError of the lowest rank that has one, on every rank."""
        size = self.world.size
        # The maximum of (size - rank) belongs to the lowest failed rank; 0 means that none failed.
        maximum = int(self.maximum([0 if error is None else size - self.world.rank])[0])
        if maximum:
            rank, own = size - maximum, self.world.rank
            message = self.broadcast(str(error).encode() if own == rank else None, rank).decode()
            raise StepError(message) from (error if own == rank else None)

    def on_rank_0(self, action: Callable[[], T]) -> T | None:
        """The result of `action` on rank 0, None on the others. Every rank raises its errors as StepError."""
        result, error = None, None
        if self.world.is_leader:
            try:
                result = action()
            except StepError as failure:
                error = failure
            except Exception as failure:
                log.exception("unexpected error on rank 0")
                error = StepError(f"{type(failure).__name__}: {failure}")
        self.fail_together(error)
        return result


@contextmanager
def process_group(world: World, choice: BackendChoice, device: torch.device) -> Iterator[Group]:
    """The ranks' group while the block runs."""
    if choice.backend == "smddp":
        import smdistributed.dataparallel.torch.torch_smddp  # noqa: F401  # registers the backend
    # Without an interface gloo binds the address of the host's name, which may be wrong in containers.
    interface = os.environ.get("SM_NETWORK_INTERFACE_NAME")
    if interface:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
    backend = _TORCH_BACKENDS[choice.backend]
    with _peers_alive():
        if "MASTER_ADDR" in os.environ:
            # mpirun sets only the address in torch's variables, and the rank in its own.
            dist.init_process_group(backend, rank=world.rank, world_size=world.size, timeout=TIMEOUT)
        else:
            # A single process without a launcher.
            dist.init_process_group(backend, store=torch._C._distributed_c10d.HashStore(), rank=0, world_size=1)
    _last_group[:] = [dist.distributed_c10d._get_default_group()]
    try:
        yield Group(world, device if choice.backend == "smddp" else torch.device("cpu"))
    finally:
        dist.destroy_process_group()


@contextmanager
def _peers_alive() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise StepError(
            "a rank lost the others: another training process or its machine ended "
            f"(see the log of that process): {str(error).splitlines()[0]}"
        ) from error
