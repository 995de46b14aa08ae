"""The command line's help against the imports that it cannot do without."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from benchmarks.cases import Bound, Case, take_turns
from benchmarks.child import ROOT
from benchmarks.options import Options

UNIT = "ms"
HELP = ("-m", "pipeline", "--help")
IMPORTS = ("-c", "import typer, rich.console")


def cases(options: Options) -> Iterator[Case]:
    """Milliseconds of a process that prints the help, and of one that imports typer and rich.console."""
    contenders = {"baseline": lambda: _milliseconds(IMPORTS), "ours": lambda: _milliseconds(HELP)}
    bounds = (Bound("ratio", "at most", 1.6),)
    yield Case("help", UNIT, **take_turns(contenders, options.rounds, UNIT), bounds=bounds)


def _milliseconds(arguments: Sequence[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - started) * 1000
