"""How the memory and the cores of an instance are divided among the processes of Spark."""

from __future__ import annotations

from dataclasses import dataclass

from steps.contracts.errors import StepError
from steps.runtime.machine import Machine

MEGABYTE = 1 << 20
# The Java heap of a master or a worker, which only keep books. They take some more outside of it.
DAEMON_MEGABYTES = 256
_DAEMONS_MEGABYTES = 1024
# The rest of an instance's memory is for the Python processes, which hold Arrow batches, and for buffers.
_HEAP = 0.6
_DRIVER = 0.25
_LEAST_MEGABYTES, _MOST_DRIVER_MEGABYTES = 512, 8192
# A larger Java heap is collected in longer pauses.
_EXECUTOR_CORES = 8


@dataclass(frozen=True)
class Sizes:
    """Java heaps in megabytes, and the cores and the number of an instance's executors.

    An instance that is alone has no executors: its driver computes.
    """

    driver_megabytes: int
    executors: int
    executor_cores: int
    executor_megabytes: int

    @property
    def worker_cores(self) -> int:
        """Cores that an instance's worker offers."""
        return self.executors * self.executor_cores

    @property
    def worker_megabytes(self) -> int:
        """Memory that an instance's worker offers, in megabytes."""
        return self.executors * self.executor_megabytes


def sizes(machine: Machine, instances: int) -> Sizes:
    """The division of `machine`, of which a job has `instances`. Raises StepError where its memory is too small.

    The driver is on the first instance, and all executors are alike, so the other instances keep its share free.
    """
    megabytes = machine.memory // MEGABYTE
    if instances == 1:
        heap = int(megabytes * _HEAP)
        if heap < _LEAST_MEGABYTES:
            raise _too_small(megabytes, int(_LEAST_MEGABYTES / _HEAP) + 1)
        return Sizes(heap, 0, machine.cores, 0)
    heap = int((megabytes - _DAEMONS_MEGABYTES) * _HEAP)
    driver = min(max(_LEAST_MEGABYTES, int(heap * _DRIVER)), _MOST_DRIVER_MEGABYTES)
    executors = max(1, machine.cores // _EXECUTOR_CORES)
    executor = (heap - driver) // executors
    if executor < _LEAST_MEGABYTES:
        least = int(_LEAST_MEGABYTES * (1 + executors) / _HEAP) + 1 + _DAEMONS_MEGABYTES
        raise _too_small(megabytes, least)
    return Sizes(driver, executors, machine.cores // executors, executor)


def _too_small(megabytes: int, least: int) -> StepError:
    return StepError(
        f"an instance has {megabytes} MB of memory for Spark, which needs {least} MB; choose a larger instance type"
    )
