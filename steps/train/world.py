"""This process among all of the job, and the backend between them; detected once, then passed on."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from steps.contracts.errors import StepError
from steps.contracts.names import SMDDP_INSTANCES
from steps.runtime import container
from steps.train.recipe import Backend

# Rank, size, local rank, local size.
_TORCHRUN_NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
_MPI_NAMES = tuple(f"OMPI_COMM_WORLD_{name}" for name in ("RANK", "SIZE", "LOCAL_RANK", "LOCAL_SIZE"))

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class World:
    """`rank` of `size` processes; `local_rank` of `local_size` on this instance."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @classmethod
    def detect(cls, environ: Mapping[str, str] = os.environ) -> World:
        """Read mpirun's variables (SMDDP's launcher) or torchrun's; without them a single process.

        Raises StepError when they contradict each other.
        """
        # mpirun's first: SMDDP's launcher also sets some of torchrun's names.
        if "OMPI_COMM_WORLD_RANK" in environ:
            names: tuple[str, ...] = _MPI_NAMES
        elif "RANK" in environ:
            names = _TORCHRUN_NAMES
        else:
            return cls()
        try:
            world = cls(*(int(environ[name]) for name in names))
        except (KeyError, ValueError) as error:
            raise StepError(f"the launcher has to set {', '.join(names)} to numbers: {error}") from error
        if not (0 <= world.rank < world.size and 0 <= world.local_rank < world.local_size <= world.size):
            raise StepError(f"the launcher's variables contradict each other: {world}")
        return world

    def threads(self, environ: Mapping[str, str] = os.environ) -> int:
        """CPU threads for this process: its share of the cores.

        The toolkit counts an instance's cores in SM_NUM_CPUS. Ranks that connect over the loopback interface share this
        machine, also if the launcher counts several instances. Too many threads slow the training down by a large
        factor, because they wait for each other actively at the end of every operation.
        """
        cores = int(environ.get("SM_NUM_CPUS") or len(os.sched_getaffinity(0)))
        sharing = self.size if environ.get("MASTER_ADDR") in _LOOPBACK else self.local_size
        return max(1, cores // sharing)

    @property
    def is_leader(self) -> bool:
        """Whether this is rank 0, which writes the model and the metrics."""
        return self.rank == 0


class BackendChoice(NamedTuple):
    """A torch.distributed backend, and the reason for it."""

    backend: Backend
    reason: str


def choose_backend(
    requested: Backend, *, cuda: bool, instance_type: str, smddp_installed: bool, mpi: bool
) -> BackendChoice:
    """The backend for the request on this machine. Raises StepError when the machine does not support it.

    SMDDP's AllReduce, the main operation of data-parallel training, needs its mpirun launcher; torchrun supports only
    its AllGather
    (https://docs.aws.amazon.com/sagemaker/latest/dg/data-parallel-use-python-skd-api.html).
    """
    obstacle = _smddp_obstacle(instance_type, smddp_installed, mpi)
    if requested == "smddp" and obstacle:
        raise StepError(f"--backend smddp cannot run here: {obstacle}; set training.backend to auto")
    if requested == "nccl" and not cuda:
        raise StepError("--backend nccl needs a GPU and this machine has none; set training.backend to auto or gloo")
    if requested != "auto":
        return BackendChoice(requested, "requested")
    if not cuda:
        return BackendChoice("gloo", "no GPU here")
    if obstacle:
        return BackendChoice("nccl", f"GPUs, and no SMDDP: {obstacle}")
    return BackendChoice("smddp", f"installed, and {instance_type} supports it")


def _smddp_obstacle(instance_type: str, installed: bool, mpi: bool) -> str:
    if instance_type not in SMDDP_INSTANCES:
        return f"it runs on {', '.join(SMDDP_INSTANCES)} and this is {instance_type or 'no SageMaker instance'}"
    if not installed:
        return "smdistributed.dataparallel is not installed in this image (the last image with it has PyTorch 2.5.1)"
    return "" if mpi else "torchrun started this process and SMDDP needs its own launcher, mpirun"


def launched_by_mpi(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether mpirun started this process."""
    return "OMPI_COMM_WORLD_SIZE" in environ


def smddp_installed() -> bool:
    """Whether this image contains SMDDP; without importing it, which needs its launcher."""
    try:
        return importlib.util.find_spec("smdistributed.dataparallel") is not None
    except ModuleNotFoundError:
        return False


def instance_type() -> str:
    """This instance's type from `resourceconfig.json`; empty without that file."""
    return str(container.resource_config().get("current_instance_type", ""))
