"""`python3 -m steps.serve`: SageMaker starts the container with the argument `serve`; there are no others."""

from __future__ import annotations

import sys

from steps.runtime.arguments import parse
from steps.runtime.errors import run_as_job
from steps.serve.run import run, use_json
from steps.serve.settings import Arguments


def main() -> None:
    """Serve until SIGTERM."""
    use_json()
    arguments = sys.argv[1:]
    parse(Arguments, arguments[1:] if arguments[:1] == ["serve"] else arguments)
    run()


if __name__ == "__main__":
    run_as_job(main)
