"""The hyperparameters of a trial, which the training toolkit passes as `--name value`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, FiniteFloat

from steps.contracts.artifact import Decision
from steps.contracts.package_properties import recordable
from steps.runtime.arguments import parse

Backend = Literal["auto", "smddp", "nccl", "gloo"]
Optimizer = Literal["sgd", "adamw"]
PrecisionName = Literal["auto", "fp32", "bf16", "fp16"]
ClassWeighting = Literal["balanced", "sqrt", "none"]
BestBy = Literal["accuracy", "loss"]
TrackerKind = Literal["none", "mlflow", "wandb"]

# These may differ between a checkpoint and the job that resumes from it: they change no number of the training.
_TRACKING = {"tracker", "tracking_server", "tracking_experiment", "tracking_secret"}
_NOT_IN_A_CHECKPOINT = {"checkpoint_minutes", "checkpoints_kept", "profile_steps", "shards_location", *_TRACKING}
# Part of the step cache's key only: recorded nowhere, so that checkpoints and models do not depend on it.
_IGNORED = {
    "version": Annotated[
        str,
        AfterValidator(recordable),
        Field(description="no effect on the training: another value makes the pipeline train again"),
    ]
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Train one trial with these hyperparameters."""

    architecture: Annotated[str, Field(description="a torchvision classifier")]
    weights: Annotated[
        str,
        Field(
            description="S3 URI of initial weights (.safetensors or .pth), or of a folder (s3://.../) that contains"
            " torchvision's published file of the architecture; default: random weights"
        ),
    ] = ""
    image_size: Annotated[int, Field(gt=0, description="side in pixels of the square that photos are stretched to")]
    epochs: Annotated[int, Field(gt=0, description="passes over the training split")]
    progressive_resizing: Annotated[
        FiniteFloat, Field(ge=0, lt=1, description="share of the epochs, the first ones, with photos of half the side")
    ]
    random_affine: Annotated[
        bool, Field(description="whether photos are rotated, shrunk and moved a little, at random, in training")
    ]
    mirrored_answers: Annotated[
        bool, Field(description="whether answers are of the photo and its mirror image; they take twice as long")
    ]
    batch_size: Annotated[int, Field(gt=0, description="photos per process and forward pass")]
    accumulation: Annotated[int, Field(gt=0, description="forward passes per optimizer step")]
    learning_rate: Annotated[
        FiniteFloat, Field(gt=0, description="peak of the schedule; it is not scaled by the number of processes")
    ]
    weight_decay: Annotated[
        FiniteFloat, Field(ge=0, description="weight decay of weights; biases and normalisation layers have none")
    ]
    optimizer: Annotated[Optimizer, Field(description="sgd uses Nesterov momentum")]
    momentum: Annotated[FiniteFloat, Field(ge=0, lt=1, description="momentum of sgd")]
    warmup_epochs: Annotated[FiniteFloat, Field(ge=0, description="epochs of linear warm-up before the cosine decay")]
    label_smoothing: Annotated[
        FiniteFloat, Field(ge=0, lt=1, description="share of the target that is spread over all classes")
    ]
    ordinal_weight: Annotated[
        FiniteFloat, Field(ge=0, description="weight of the squared earth mover's distance, added to the cross entropy")
    ]
    ema_decay: Annotated[
        FiniteFloat,
        Field(ge=0, lt=1, description="decay of the weights' average that is validated and exported; 0: no average"),
    ]
    clip_norm: Annotated[FiniteFloat, Field(ge=0, description="largest norm of the gradient; 0: no limit")]
    class_weighting: Annotated[
        ClassWeighting, Field(description="weight of a class in the loss, from its share of the photos")
    ]
    best_epoch_by: Annotated[
        BestBy, Field(description="validation figure by which the epoch is chosen whose model is written")
    ]
    patience: Annotated[
        int, Field(ge=0, description="epochs without a better such figure before the trial stops; 0: never")
    ]
    workers: Annotated[
        int, Field(ge=0, description="loader processes per training process; 0 loads in the training process")
    ]
    precision: Annotated[
        PrecisionName, Field(description="auto: bf16 or fp16 on a GPU with tensor cores for it, else fp32")
    ]
    sync_batch_norm: Annotated[bool, Field(description="statistics of batch normalisation over all processes; on GPUs")]
    compile: Annotated[bool, Field(description="compile by torch.compile; the first steps then take minutes")]
    backend: Annotated[Backend, Field(description="auto: nccl on GPUs, gloo on CPUs; smddp has a launcher of its own")]
    decision: Annotated[Decision, Field(description="a count is the likeliest class, or the rounded expectation")]
    set_level: Annotated[
        FiniteFloat, Field(gt=0, lt=1, description="share of bins whose count is in the model's prediction set")
    ]
    sure_accuracy: Annotated[
        FiniteFloat, Field(gt=0, lt=1, description="accuracy of the counts that the model calls sure")
    ]
    checkpoint_minutes: Annotated[FiniteFloat, Field(gt=0, description="minutes between checkpoints")]
    checkpoints_kept: Annotated[int, Field(gt=0, description="number of checkpoints to keep, the newest")]
    shards_location: Annotated[
        str, Field(description="S3 URI of the channel `shards`; default: shards stream from S3 without a channel")
    ] = ""
    seed: Annotated[int, Field(ge=0, description="seed of initial weights, sample order and augmentation")]
    profile_steps: Annotated[int, Field(ge=0, description="steps of the first epoch to profile on rank 0; 0: none")]
    tracker: Annotated[TrackerKind, Field(description="tracking service to log epochs to")] = "none"
    tracking_server: Annotated[str, Field(description="with mlflow: ARN or URL of the tracking server")] = ""
    tracking_experiment: Annotated[
        str, Field(description="with mlflow: the experiment; with wandb: PROJECT or ENTITY/PROJECT")
    ] = ""
    tracking_secret: Annotated[
        str, Field(description="with wandb: name or ARN of the Secrets Manager secret with the API key")
    ] = ""

    @property
    def half_size_epochs(self) -> int:
        """The number of first epochs in which photos have half the side; the last epoch is none of them."""
        # A share of 0.29 of 100 epochs is 28.999...
        return min(int(self.progressive_resizing * self.epochs + 1e-9), self.epochs - 1)

    def as_text(self) -> dict[str, str]:
        """Every hyperparameter by its name, as `model.json` records it."""
        return {name: str(value) for name, value in dataclasses.asdict(self).items()}

    def fingerprint(self) -> dict[str, str]:
        """The hyperparameters that a checkpoint must share with the job that resumes from it."""
        return {name: text for name, text in self.as_text().items() if name not in _NOT_IN_A_CHECKPOINT}


def read_recipe(arguments: Sequence[str] | None = None) -> Recipe:
    """The recipe in the arguments (default: the process's own). Raises StepError for an unknown, missing or bad one."""
    return parse(Recipe, arguments, ignored=_IGNORED)
