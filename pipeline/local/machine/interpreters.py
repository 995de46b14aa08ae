"""The packages that an image's code runs with: the local cloud's own, or for an image of Spark those of its own set-up.

Nothing is built here, and Spark with its Java is 0.8 GB that most people never need: `make setup-spark` installs them.
"""

from __future__ import annotations

from pathlib import Path

from pipeline import ROOT

SET_UP = "make setup-spark"
# As the Makefile names it, with the file that ends a whole installation.
SPARK = ROOT / ".venv-spark"
_INSTALLED = ".installed"


class NotInstalledError(Exception):
    """The packages of an image are not on this machine."""


def environment_of(image: Path) -> Path | None:
    """The virtual environment with the packages of an image, a copy of its source; None for the local cloud's own.

    Raises NotInstalledError for an image of Spark where that is not set up.
    """
    if not (image / "containers" / "spark").is_dir():
        return None
    if not (SPARK / _INSTALLED).exists():
        raise NotInstalledError(f"this step starts Spark, which is not installed on this machine; run: {SET_UP}")
    return SPARK
