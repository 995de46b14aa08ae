"""The Python that runs this program: what to do where it is too old or lacks a package. Older ones read this too."""

import sys
from pathlib import Path


def remedy(problem: str) -> str:
    """`problem`, and how to get an environment that has what is missing."""
    root = Path(__file__).resolve().parent.parent
    return (
        f"{problem}; run `make setup` in {root}, and then {root}/.venv/bin/python -m pipeline in place of"
        f" {sys.executable} -m pipeline"
    )
