"""`python3 -m steps.explore`: read the arguments and run the step."""

from __future__ import annotations

from steps.explore.settings import Settings
from steps.runtime.arguments import parse
from steps.runtime.errors import run_as_job


def main() -> None:
    """Read the arguments and run the step."""
    settings = parse(Settings)

    from steps.explore.run import run

    run(settings)


if __name__ == "__main__":
    run_as_job(main)
