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
