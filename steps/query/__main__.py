"""`python3 -m steps.query`: read the arguments and run the step."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from steps.query.settings import Settings
from steps.runtime.arguments import parse
from steps.runtime.errors import run_as_job


def end_on_sigterm() -> None:
    """On SIGTERM, end as for an error: the running query is stopped, and the tables are dropped."""

    def end(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, end)


def main() -> None:
    """Read the arguments and run the step."""
    end_on_sigterm()
    settings = parse(Settings)

    from steps.query.run import run

    run(settings)


if __name__ == "__main__":
    run_as_job(main)
