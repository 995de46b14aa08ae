"""`python3 -m steps.evaluate`: read the arguments and run the step."""

from __future__ import annotations

from steps.evaluate.run import run
from steps.evaluate.settings import Settings
from steps.runtime.arguments import parse
from steps.runtime.errors import run_as_job


def main() -> None:
    """Read the arguments and run the step."""
    run(parse(Settings))


if __name__ == "__main__":
    run_as_job(main)
