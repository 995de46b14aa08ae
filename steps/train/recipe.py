"""The hyperparameters of one trial: what the training toolkit passes as `--name value`, checked and typed."""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NoReturn, get_args, get_type_hints

from steps.contracts.errors import StepError

Backend = Literal["auto", "smddp", "nccl", "gloo"]
Optimizer = Literal["sgd", "adamw"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
ClassWeighting = Literal["balanced", "sqrt", "none"]
Decision = Literal["argmax", "expected"]
TrackerKind = Literal["none", "mlflow", "wandb"]

# What may differ between a checkpoint and the job that resumes from it: it changes no number of the training.
_TRACKING = {"tracker", "tracking_server", "tracking_experiment", "tracking_secret"}
_NOT_IN_A_CHECKPOINT = {"checkpoint_minutes", "checkpoints_kept", "profile_steps", "shards_location", *_TRACKING}


@dataclass(frozen=True)
class Recipe:
    """One trial's hyperparameters. Raises StepError that names the flag when a value makes no sense."""

    architecture: Annotated[str, "a torchvision classifier"] = "resnet18"
    weights: Annotated[str, "S3 URI of weights to begin with (.safetensors or .pth); without it they are random"] = ""
    image_size: Annotated[int, "side of the square that a photo is stretched to, in pixels"] = 224
    epochs: Annotated[int, "passes over the training split"] = 30
    batch_size: Annotated[int, "photos a process and forward pass"] = 64
    accumulation: Annotated[int, "forward passes an optimizer step"] = 1
    learning_rate: Annotated[float, "peak of the schedule; it is not scaled by the number of processes"] = 0.001
    weight_decay: Annotated[float, "of the weights; biases and normalisation layers have none"] = 0.05
    optimizer: Annotated[Optimizer, "sgd is with Nesterov momentum"] = "adamw"
    momentum: Annotated[float, "of sgd"] = 0.9
    warmup_epochs: Annotated[float, "epochs of linear warm-up before the cosine decay"] = 1.0
    label_smoothing: Annotated[float, "share of the target that is spread over all classes"] = 0.0
    ordinal_weight: Annotated[float, "of the squared earth mover's distance, beside the cross entropy"] = 0.0
    ema_decay: Annotated[float, "of the average of weights that is validated and kept; 0: the weights themselves"] = 0.0
    clip_norm: Annotated[float, "largest norm of the gradient; 0: any"] = 0.0
    class_weighting: Annotated[ClassWeighting, "weight of a class in the loss, from its share of the photos"] = (
        "balanced"
    )
    patience: Annotated[int, "epochs without a better accuracy before the trial stops; 0: never"] = 5
    workers: Annotated[int, "loader processes a training process; 0 loads in the training process"] = 4
    precision: Annotated[Precision, "auto: bf16 or fp16 on a GPU with tensor cores for it, else fp32"] = "auto"
    sync_batch_norm: Annotated[bool, "statistics of batch normalisation over all processes; wants GPUs"] = False
    compile: Annotated[bool, "by torch.compile; the first steps then take minutes"] = False
    backend: Annotated[Backend, "auto: nccl on GPUs, gloo on CPUs; smddp has a launcher of its own"] = "auto"
    decision: Annotated[Decision, "a count is the likeliest class, or the rounded expectation"] = "argmax"
    checkpoint_minutes: Annotated[float, "minutes between checkpoints"] = 10.0
    checkpoints_kept: Annotated[int, "the newest so many"] = 2
    shards_location: Annotated[str, "S3 URI that the channel `shards` shows; without it shards stream from S3"] = ""
    seed: Annotated[int, "of initial weights, sample order and augmentation"] = 1
    profile_steps: Annotated[int, "steps of the first epoch to profile on rank 0; 0: none"] = 0
    tracker: Annotated[TrackerKind, "where epochs are logged to as well"] = "none"
    tracking_server: Annotated[str, "of mlflow: the ARN or URL of a tracking server"] = ""
    tracking_experiment: Annotated[str, "of mlflow; of wandb the project, or ENTITY/PROJECT"] = ""
    tracking_secret: Annotated[str, "of wandb: name or ARN of the Secrets Manager secret that holds its API key"] = ""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        above = ("image_size", "epochs", "batch_size", "accumulation", "learning_rate")
        for name in (*above, "checkpoint_minutes", "checkpoints_kept"):
            self._require(name, getattr(self, name) > 0, "greater than 0")
        for name in (
            "weight_decay",
            "warmup_epochs",
            "patience",
            "workers",
            "seed",
            "profile_steps",
            "ordinal_weight",
            "clip_norm",
        ):
            self._require(name, getattr(self, name) >= 0, "0 or more")
        for name in ("momentum", "label_smoothing", "ema_decay"):
            self._require(name, 0 <= getattr(self, name) < 1, "at least 0 and below 1")
        for option in dataclasses.fields(self):
            value = getattr(self, option.name)
            self._require(option.name, not isinstance(value, float) or math.isfinite(value), "a finite number")

    def _require(self, name: str, holds: bool, wanted: str) -> None:
        if not holds:
            raise StepError(f"{_flag(name)} is {getattr(self, name)} but has to be {wanted}")

    def as_text(self) -> dict[str, str]:
        """Every hyperparameter by its name, as `model.json` keeps it."""
        return {name: str(value) for name, value in dataclasses.asdict(self).items()}

    def fingerprint(self) -> dict[str, str]:
        """The hyperparameters that a checkpoint has to share with the job that resumes from it."""
        return {name: text for name, text in self.as_text().items() if name not in _NOT_IN_A_CHECKPOINT}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise StepError(f"training hyperparameters: {message}; `python3 -m steps.train --help` lists them")


def parse(arguments: Sequence[str] | None = None) -> Recipe:
    """Read `--name value` arguments (the process's own by default). Raises StepError on an unknown or bad one."""
    parser = _Parser(prog="python3 -m steps.train", description=__doc__, allow_abbrev=False)
    types = get_type_hints(Recipe, include_extras=True)
    for option in dataclasses.fields(Recipe):
        kind, description = get_args(types[option.name])
        choices = get_args(kind)
        parser.add_argument(
            _flag(option.name),
            type=str if choices else _boolean if kind is bool else kind,
            choices=choices or None,
            default=option.default,
            help=f"{description} (default: {option.default})",
        )
    # Of the step cache's key alone: kept nowhere, so that checkpoints and models do not depend on it.
    parser.add_argument("--version", help="no effect on the training: another value makes the pipeline train again")
    values = vars(parser.parse_args(arguments))
    del values["version"]
    return Recipe(**values)


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("true or false")
    return text.lower() == "true"


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
