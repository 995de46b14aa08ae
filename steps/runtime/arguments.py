"""Command lines of steps, whose mistakes reach the one who reads a job's failure reason."""

from __future__ import annotations

import argparse
from typing import NoReturn

from steps.contracts.errors import StepError


class ArgumentParser(argparse.ArgumentParser):
    """An argparse parser that raises StepError for a wrong argument; argparse itself would only print it."""

    def error(self, message: str) -> NoReturn:
        """Raise StepError: the command's name, and what is wrong."""
        raise StepError(f"{self.prog}: {message}")
