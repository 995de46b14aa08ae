"""`python3 -m steps.query`: the arguments of the step."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from steps.runtime.arguments import ArgumentParser
from steps.runtime.errors import run_as_job


def end_on_sigterm() -> None:
    """End as for an error when the job is stopped: the query that runs is stopped, and the tables are dropped."""

    def end(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, end)


def main() -> None:
    """Read the arguments and run the step."""
    end_on_sigterm()
    parser = ArgumentParser(prog="steps.query", description=__doc__)
    parser.add_argument("--image-location", required=True, help="s3://bucket/prefix of metadata/ and bin-images/")
    parser.add_argument("--maximum-quantity", required=True, type=int, help="bins that hold more are left out")
    parser.add_argument("--data-version", required=True, help="kept in the summary; a new value makes a run look again")
    parser.add_argument("--database", required=True, help="Glue database")
    parser.add_argument("--workgroup", required=True, help="Athena work group")
    parser.add_argument("--timeout-minutes", type=float, default=60, help="a query that takes longer is stopped")
    arguments = parser.parse_args()

    from steps.query.run import run

    run(**vars(arguments))


if __name__ == "__main__":
    run_as_job(main)
