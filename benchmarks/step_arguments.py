"""Values of the arguments that steps require, for the arguments that a benchmark does not set."""

from __future__ import annotations

from collections.abc import Mapping

SHARD: Mapping[str, str] = {
    "image-size": "256",
    "quality": "90",
    "split": "grouped",
    "seed": "1",
    "validation-fraction": "0.1",
    "test-fraction": "0.1",
    "common-items": "1",
    "shard-megabytes": "200",
    "maximum-rejects": "0.05",
    "maximum-removed": "0.2",
    "compact": "0",
}
TRAIN: Mapping[str, str] = {
    "architecture": "resnet18",
    "image-size": "224",
    "progressive-resizing": "0",
    "random-affine": "false",
    "mirrored-answers": "false",
    "best-epoch-by": "accuracy",
    "epochs": "30",
    "batch-size": "64",
    "accumulation": "1",
    "learning-rate": "0.001",
    "weight-decay": "0.05",
    "optimizer": "adamw",
    "momentum": "0.9",
    "warmup-epochs": "1",
    "label-smoothing": "0",
    "ordinal-weight": "0",
    "ema-decay": "0",
    "clip-norm": "0",
    "class-weighting": "balanced",
    "set-level": "0.9",
    "sure-accuracy": "0.9",
    "patience": "5",
    "workers": "4",
    "precision": "auto",
    "sync-batch-norm": "false",
    "compile": "false",
    "backend": "auto",
    "decision": "argmax",
    "checkpoint-minutes": "10",
    "checkpoints-kept": "2",
    "seed": "1",
    "profile-steps": "0",
}
EVALUATE: Mapping[str, str] = {
    "decision": "argmax",
    "group": "",
    "tuning-job": "",
    "run": "",
    "minimum-accuracy": "0",
    "maximum-rmse": "10",
    "maximum-accuracy-loss": "0",
    "sure-coverage": "0.5",
    "minimum-sure-accuracy": "0",
    "evaluation-image": "",
    "serving-image": "",
    "register-again": "no",
    "approval": "PendingManualApproval",
}


def flags_of(values: Mapping[str, object]) -> list[str]:
    """The values as a command line; of a repeated argument the last one counts."""
    return [text for name, value in values.items() for text in (f"--{name}", str(value))]
