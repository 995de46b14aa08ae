"""The exception that a step raises for bad input."""

from __future__ import annotations


class StepError(Exception):
    """Bad input or a broken contract: one line that names the file, key or image and the remedy."""
