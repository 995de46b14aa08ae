"""The options of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """The options of the command line, with the benchmark's defaults."""

    folder: Path
    """Scratch space on the local disk."""
    rounds: int
    """Number of rounds of all contenders; the median counts."""
    count: int
    """Number of photos or metadata files."""
    baseline_count: int
    """Number of them for the baseline, which is slow and has the same rate for any number."""
    peers: Path | None = None
    """load: Python of an environment with other loaders."""
    keep: Path | None = None
    """accuracy*, recipes: folder of finished trainings, to continue from."""
    epochs: int | None = None
    """accuracy*: epochs per training; without it as many as take an hour or two."""
    threads: int | None = None
    """accuracy*, recipes: threads per training; without it all cores."""
    only: frozenset[str] = frozenset()
    """recipes: names of the changes to try; without it all."""
