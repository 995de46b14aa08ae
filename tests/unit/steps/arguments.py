"""Arguments for tests: a value for each one that a step requires, and settings of these values."""

from __future__ import annotations

from typing import Any

from steps.contracts.s3_uri import S3Uri
from steps.train.recipe import Recipe, read_recipe

QUERY: dict[str, Any] = {
    "image_location": "s3://a-bucket/raw",
    "maximum_quantity": 5,
    "data_version": "1",
    "database": "bins",
    "workgroup": "primary",
    "timeout_minutes": 10.0,
}
SHARD: dict[str, Any] = {
    "image_location": S3Uri("bucket", "raw"),
    "image_size": 256,
    "quality": 90,
    "split": "grouped",
    "seed": 1,
    "validation_fraction": 0.1,
    "test_fraction": 0.1,
    "common_items": 1.0,
    "shard_megabytes": 200.0,
    "maximum_rejects": 0.05,
    "maximum_removed": 0.2,
    "compact": 0,
}
PLAN: dict[str, Any] = {
    **{name: value for name, value in SHARD.items() if name not in ("maximum_rejects", "maximum_removed")},
    "common_items": 1.0,
    "planner": "auto",
}
TRAIN: dict[str, Any] = {
    "architecture": "resnet18",
    "image_size": 224,
    "progressive_resizing": 0.0,
    "random_affine": False,
    "mirrored_answers": False,
    "best_epoch_by": "accuracy",
    "epochs": 30,
    "batch_size": 64,
    "accumulation": 1,
    "learning_rate": 0.001,
    "weight_decay": 0.05,
    "optimizer": "adamw",
    "momentum": 0.9,
    "warmup_epochs": 1.0,
    "label_smoothing": 0.0,
    "ordinal_weight": 0.0,
    "ema_decay": 0.0,
    "clip_norm": 0.0,
    "class_weighting": "balanced",
    "patience": 5,
    "workers": 4,
    "precision": "auto",
    "sync_batch_norm": False,
    "compile": False,
    "backend": "auto",
    "decision": "argmax",
    "set_level": 0.9,
    "sure_accuracy": 0.9,
    "checkpoint_minutes": 10.0,
    "checkpoints_kept": 2,
    "seed": 1,
    "profile_steps": 0,
}
EVALUATE: dict[str, Any] = {
    "decision": "argmax",
    "group": "",
    "tuning_job": "",
    "run": "",
    "minimum_accuracy": 0.0,
    "maximum_rmse": 10.0,
    "maximum_accuracy_loss": 0.0,
    "sure_coverage": 0.5,
    "minimum_sure_accuracy": 0.0,
    "evaluation_image": "",
    "serving_image": "",
    "register_again": "no",
    "approval": "PendingManualApproval",
}
MONITOR: dict[str, Any] = {
    "captures": "s3://a-bucket/captures",
    "endpoint": "bins",
    "hours": 24,
    "level": 0.05,
    "minimum_psi": 0.1,
    "minimum_tail": 0.03,
    "minimum_photos": 200,
    "namespace": "BinCounting",
    "cooldown_days": 7,
}
# The environment of the deploy function.
DEPLOY: dict[str, Any] = {
    "endpoint_name": "counting",
    "model_package_group": "bins",
    "serving_role_arn": "arn:aws:iam::123456789012:role/bins-serving",
    "mode": "real-time",
    "instance_type": "ml.c5.xlarge",
    "instance_count": 1,
    "maximum_instance_count": 1,
    "invocations_per_instance": 600,
    "serverless_memory_megabytes": 3072,
    "serverless_concurrency": 5,
    "canary_percent": 10,
    "canary_seconds": 300,
    "baking_seconds": 300,
    "alarms": (),
    "released_uri": "s3://bins/bin-counting/released",
    "capture_uri": "",
    "capture_percent": 0,
    "kms_key": "",
    "subnets": (),
    "security_groups": (),
}


def flags_of(values: dict[str, Any]) -> list[str]:
    """The values as a command line."""
    return [text for name, value in values.items() for text in (f"--{name.replace('_', '-')}", str(value))]


def recipe(*arguments: str, **changes: Any) -> Recipe:
    """The recipe of a trial: `arguments` of the command line and `changes` of fields on top of TRAIN."""
    return read_recipe([*flags_of({**TRAIN, **changes}), *arguments])
