"""The training step. torchrun starts it as a file: `torchrun ... steps/train/__main__.py --epochs 30`."""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:
    # Python puts the folder of a started file first on its path, where our `loop` or `world` would hide a library's;
    # the folder that contains `steps` belongs there.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from steps.runtime.errors import run_as_job


def main() -> None:
    """Train with the hyperparameters that the toolkit passes."""
    from steps.train.recipe import read_recipe
    from steps.train.run import run

    run(read_recipe())


if __name__ == "__main__":
    run_as_job(main)
