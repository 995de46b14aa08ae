"""`python3 -m steps.monitor`: read the arguments and run the step."""

from __future__ import annotations

from steps.monitor.run import run
from steps.monitor.settings import Settings
from steps.runtime.arguments import parse
from steps.runtime.errors import run_as_job


def main() -> None:
    """Read the arguments and run the step."""
    run(parse(Settings))


if __name__ == "__main__":
    run_as_job(main)
