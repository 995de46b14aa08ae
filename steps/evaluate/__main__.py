"""Arguments of the evaluate step."""

from __future__ import annotations

import argparse

from steps.common.errors import run_as_job
from steps.evaluate.run import run


def main() -> None:
    """Evaluate the model in the input `model` on the test split of the input `index`."""
    parser = argparse.ArgumentParser(prog="python3 -m steps.evaluate", description=main.__doc__)
    parser.add_argument("--decision", choices=["argmax", "expected"], required=True)
    parser.add_argument("--batch-size", type=int, default=64, help="photos predicted at a time")
    arguments = parser.parse_args()
    run(decision=arguments.decision, batch_size=arguments.batch_size)


if __name__ == "__main__":
    run_as_job(main)
