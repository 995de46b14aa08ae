"""Arguments of the evaluate step."""

from __future__ import annotations

import argparse

from steps.evaluate.run import run
from steps.evaluate.settings import Settings
from steps.runtime.errors import run_as_job


def main() -> None:
    """Evaluate the model in the input `model` on the test split of the input `index`."""
    parser = argparse.ArgumentParser(prog="python3 -m steps.evaluate", description=main.__doc__)
    parser.add_argument("--decision", choices=["argmax", "expected"], required=True)
    parser.add_argument("--batch-size", type=int, default=64, help="photos predicted at a time")
    parser.add_argument("--group", default="", help="model package group whose latest approved version is compared")
    parser.add_argument("--tuning-job", default="", help="the tuning job that the model is the best trial of")
    parser.add_argument("--run", default="", help="ARN of the pipeline's run")
    parser.add_argument("--minimum-accuracy", type=float, help="the gate's, for the report")
    parser.add_argument("--maximum-rmse", type=float, help="the gate's, for the report")
    parser.add_argument("--maximum-accuracy-loss", type=float, help="the gate's, for the report")
    parser.add_argument("--evaluation-image", default="", help="the image that this step runs in")
    parser.add_argument("--serving-image", default="", help="the image that the model would be served in")
    parser.add_argument(
        "--register-again",
        choices=["no", "yes"],
        default="no",
        help="yes: register also where a version has the same model, data and images",
    )
    parser.add_argument("--approval", default="PendingManualApproval", help="the status that a version would get")
    run(Settings(**vars(parser.parse_args())))


if __name__ == "__main__":
    run_as_job(main)
