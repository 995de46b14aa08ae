"""Where this process stands among all, and what carries the messages between them; detected once, then passed in."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from steps.contracts.errors import StepError
from steps.runtime import container
from steps.train.recipe import Backend

# https://docs.aws.amazon.com/sagemaker/latest/dg/distributed-data-parallel-support.html
SMDDP_INSTANCES = ("ml.p3dn.24xlarge", "ml.p4d.24xlarge", "ml.p4de.24xlarge")

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
        """From mpirun's variables (SMDDP's launcher) or torchrun's; one process alone where there are none.

        Raises StepError when they contradict each other.
        """
        # mpirun's first: what SMDDP's launcher sets of torchrun's names beside them need not be all four.
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

        The toolkit counts an instance's cores in SM_NUM_CPUS. Where the ranks meet on the loopback interface, all of
        them share this machine, whatever the launcher calls an instance. One thread too many a core costs more than
        a factor: threads that wait for each other at the end of every operation do it busily.
        """
        cores = int(environ.get("SM_NUM_CPUS") or len(os.sched_getaffinity(0)))
        sharing = self.size if environ.get("MASTER_ADDR") in _LOOPBACK else self.local_size
        return max(1, cores // sharing)

    @property
    def leads(self) -> bool:
        """Whether this is rank 0, the one that writes the model and the metrics."""
        return self.rank == 0


class BackendChoice(NamedTuple):
    """A torch.distributed backend, and why it is this one."""

    backend: Backend
    reason: str


def choose_backend(
    requested: Backend, *, cuda: bool, instance_type: str, smddp_installed: bool, mpi: bool
) -> BackendChoice:
    """The backend for what was requested on this machine. Raises StepError when the request cannot be met.

    SMDDP's AllReduce, the operation that data-parallel training is made of, needs its mpirun launcher; torchrun
    starts its AllGather only
    (https://docs.aws.amazon.com/sagemaker/latest/dg/data-parallel-use-python-skd-api.html).
    """
    obstacle = _smddp_obstacle(instance_type, smddp_installed, mpi)
    if requested == "smddp" and obstacle:
        raise StepError(f"--backend smddp cannot run here: {obstacle}; set training.backend to auto")
    if requested == "nccl" and not cuda:
        raise StepError("--backend nccl wants a GPU and this machine has none; set training.backend to auto or gloo")
    if requested != "auto":
        return BackendChoice(requested, "requested")
    if not cuda:
        return BackendChoice("gloo", "no GPU here")
    if obstacle:
        return BackendChoice("nccl", f"GPUs, and no SMDDP: {obstacle}")
    return BackendChoice("smddp", f"installed, and {instance_type} can run it")


def _smddp_obstacle(instance_type: str, installed: bool, mpi: bool) -> str:
    if instance_type not in SMDDP_INSTANCES:
        return f"it runs on {', '.join(SMDDP_INSTANCES)} and this is {instance_type or 'no SageMaker instance'}"
    if not installed:
        return "smdistributed.dataparallel is not installed in this image (PyTorch 2.5.1 was the last that carries it)"
    return "" if mpi else "torchrun started this process and SMDDP wants its own launcher, mpirun"


def launched_by_mpi(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether mpirun started this process."""
    return "OMPI_COMM_WORLD_SIZE" in environ


def smddp_installed() -> bool:
    """Whether this image carries SMDDP; looked up, not imported (its import wants its launcher)."""
    try:
        return importlib.util.find_spec("smdistributed.dataparallel") is not None
    except ModuleNotFoundError:
        return False


def instance_type() -> str:
    """This instance's type from `resourceconfig.json`; empty where there is none."""
    path = container.base() / "input" / "config" / "resourceconfig.json"
    if not path.exists():
        return ""
    return str(json.loads(path.read_text()).get("current_instance_type", ""))
