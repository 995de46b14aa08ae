"""The engine that plans, and why."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Literal

from steps.runtime import container
from steps.runtime.machine import machine

Planner = Literal["auto", "local", "spark"]
# Photos from which several instances with Spark plan in place of one with DuckDB. Spark needs about ten times the CPU
# time of DuckDB per photo, and more than a minute of it besides (python -m benchmarks plan). DuckDB keeps what does not
# fit into memory on its instance's volume: so it is the size of one instance that decides, and this many photos take it
# about 8 CPU hours, 35 GB of memory and 340 GB of disk, calculated from 5 million.
SPARK_PHOTOS = 1_000_000_000
# Bytes per photo that DuckDB writes to disk (336 MB for a million photos), and bytes of arrays besides DuckDB's memory,
# which is 0.6 of the instance's; at most this share of the memory is theirs.
DISK_PER_PHOTO, MEMORY_PER_PHOTO, ARRAYS_SHARE = 340, 35, 0.35


@dataclass(frozen=True)
class Choice:
    """An engine, and the reason in words that follow `since`."""

    engine: Literal["local", "spark"]
    reason: str

    @property
    def name(self) -> str:
        """The engine's own name."""
        return {"local": "DuckDB", "spark": "Spark"}[self.engine]


@dataclass(frozen=True)
class Room:
    """What an instance has for DuckDB: bytes of memory, and of its volume.

    Of the whole volume, since all instances of a job have to choose the same: their shares of the labels, and with them
    the free space, differ.
    """

    memory: int
    disk: int

    @classmethod
    def here(cls) -> Room:
        """This instance's; all instances of a job are of the same type."""
        return cls(machine().memory, shutil.disk_usage(container.base() if container.base().exists() else "/").total)

    def refusal(self, photos: int) -> str:
        """Why this many photos do not fit; empty where they do."""
        if photos * DISK_PER_PHOTO > self.disk:
            needed, whole = photos * DISK_PER_PHOTO / 1e9, self.disk / 1e9
            return f"{photos:,} photos need {needed:,.0f} GB of disk, and the volume has {whole:,.0f}"
        if photos * MEMORY_PER_PHOTO > ARRAYS_SHARE * self.memory:
            memory = self.memory / 1e9
            return f"the arrays of {photos:,} photos do not fit into {memory:,.0f} GB of memory besides DuckDB"
        return ""


def choose(planner: Planner, instances: int, photos: int, room: Room) -> Choice:
    """The engine for a number of photos on a number of instances; every instance of a job chooses the same."""
    if planner != "auto":
        return Choice(planner, f"--planner is {planner}")
    if instances == 1:
        return Choice("local", "the job has one instance")
    if refusal := room.refusal(photos):
        return Choice("spark", f"{refusal}, and the job has {instances} instances")
    if photos < SPARK_PHOTOS:
        return Choice("local", f"{photos:,} photos are fewer than {SPARK_PHOTOS:,}, so one instance plans sooner")
    return Choice("spark", f"{photos:,} photos are at least {SPARK_PHOTOS:,}, and the job has {instances} instances")
