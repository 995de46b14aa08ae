"""Arguments of the serving container: SageMaker starts it with `serve`; there is nothing else to say."""

from __future__ import annotations

import argparse

from steps.runtime.errors import run_as_job
from steps.serve.run import run


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python3 -m steps.serve", description="Serve the model in /opt/ml/model.")
    parser.add_argument("command", nargs="?", choices=["serve"], default="serve")
    parser.parse_args()
    run()


if __name__ == "__main__":
    run_as_job(main)
