"""The errors that become one line: of a step in its container, and of the command line."""

from __future__ import annotations


class StepError(Exception):
    """Bad input or a broken contract: one line that names the file, key or image and the remedy."""


class PipelineError(Exception):
    """What went wrong, where, and what to do about it, in one line (or one line per mistake)."""
