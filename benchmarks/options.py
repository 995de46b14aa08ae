"""What a benchmark is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """The command line, with the benchmark's own defaults filled in."""

    folder: Path
    """Scratch space on the local disk."""
    rounds: int
    """How often all contenders run; the median counts."""
    count: int
    """Photos or metadata files."""
    baseline_count: int
    """How many of them the baseline gets: its rate is the same for any number, and it is slow."""
    peers: Path | None = None
    """The Python of an environment that has other loaders to compare with."""
    keep: Path | None = None
    """accuracy: where finished trainings are kept, and found again."""
    epochs: int | None = None
    """accuracy: how many; without it what the machine can do in an hour or two."""
    threads: int | None = None
    """accuracy: of a training; without it all cores."""
