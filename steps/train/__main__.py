"""The training step's arguments. Started by torchrun as a file: `torchrun ... steps/train/__main__.py --epochs 30`."""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:
    # Python puts a started file's own folder first on its path, where our `loop` or `world` would hide a library's;
    # what belongs there is the folder that holds `steps`.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from steps.runtime.errors import run_as_job


def main() -> None:
    """Train with the hyperparameters that the toolkit passes."""
    from steps.train.recipe import parse
    from steps.train.run import run

    run(parse())


if __name__ == "__main__":
    run_as_job(main)
