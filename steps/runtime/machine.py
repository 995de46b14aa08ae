"""The cores and the memory that this process may use: its container's, where a control group limits them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Machine:
    """Cores, at least 1, and memory in bytes."""

    cores: int
    memory: int

    def part(self, count: int) -> Machine:
        """An equal part of this machine for each of `count` users of it."""
        return Machine(max(1, self.cores // count), self.memory // count)


def machine(groups: Path = GROUPS, membership: Path = MEMBERSHIP) -> Machine:
    """What this process may use: the smallest of the machine's own and the limits of its control groups.

    Files of https://docs.kernel.org/admin-guide/cgroup-v2.html and of version 1 next to it.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # on Linux only
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for folder in _folders(groups, membership):
        memory = min([memory, *_numbers(folder, "memory.max"), *_numbers(folder, "memory.limit_in_bytes")])
        quotas = [_numbers(folder, "cpu.max"), _numbers(folder, "cpu.cfs_quota_us", "cpu.cfs_period_us")]
        cores = min([cores, *(quota[0] // quota[1] for quota in quotas if len(quota) == 2 and quota[0] > 0)])
    return Machine(max(1, cores), memory)


def available_cores() -> int:
    """The cores of `machine`."""
    return machine().cores


def _folders(groups: Path, membership: Path) -> Iterator[Path]:
    """The folders of this process's control groups and of all groups around them."""
    lines = membership.read_text().splitlines() if membership.exists() else []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        # A controller of version 1 has a tree of its own. A container may see only its own part of a tree.
        for root in [groups / name for name in controllers.split(",")] if controllers else [groups]:
            folder = root / path.lstrip("/")
            yield from (place for place in (folder, *folder.parents) if place.is_relative_to(root) and place.is_dir())


def _numbers(folder: Path, *names: str) -> list[int]:
    """The numbers in these files of a control group; none for `max`, which is no limit, or without the files."""
    files = [folder / name for name in names]
    words = [word for file in files if file.exists() for word in file.read_text().split()]
    return [] if "max" in words else [int(word) for word in words]
