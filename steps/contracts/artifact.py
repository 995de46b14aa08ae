"""The model artifact contract: the content of `model.tar.gz`, written by `steps/train`, read by evaluate and serve."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import Field

from steps.contracts.errors import StepError
from steps.contracts.parsing import Contract, parse

VERSION: Literal[1] = 1
Decision = Literal["argmax", "expected"]
WEIGHTS = "model.safetensors"
ONNX = "model.onnx"
DESCRIPTION = "model.json"
HISTORY = "history.json"

# ImageNet's channel statistics (RGB, of pixels scaled to 0..1), torchvision's convention.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Calibration(Contract, allow_inf_nan=False):
    """What the validation split's bins say of the network's probabilities; each bin counts once, by one photo.

    The network's logits are divided by `temperature` before the softmax. A prediction set is the counts whose
    probability is at least `least_probability`, the likeliest, and the count itself; it holds the truth in a share
    `level` of new bins. A count is sure if its probability is at least `sure_confidence`: then it is right in a share
    `sure_accuracy`.
    """

    temperature: float = Field(gt=0)
    level: float = Field(gt=0, lt=1)
    least_probability: float = Field(ge=0, le=1, description="0 where there are too few bins: each count is in the set")
    sure_accuracy: float = Field(gt=0, lt=1)
    sure_confidence: float | None = Field(ge=0, le=1, description="none: no count is sure")
    bins: int = Field(gt=0, description="validation bins that these figures are from")


class ModelDescription(Contract, protected_namespaces=()):
    """`model.json`: the data by which a photo becomes the network's input, and its output a count.

    The network's input is uint8 RGB images of shape (N, 3, image_size, image_size), which it normalises itself, so that
    every runtime agrees; its output is logits of shape (N, len(classes)).
    """

    version: Literal[1] = VERSION
    architecture: str
    classes: list[int] = Field(min_length=2)
    image_size: int = Field(gt=0)
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    resize: Literal["stretch"] = "stretch"
    decision: Decision = "argmax"
    mirrored: bool = Field(
        default=False, description="the graph answers for the photo and its mirror image; not in older artifacts"
    )
    dataset_sha256: str
    calibration: Calibration | None = Field(default=None, description="none in older artifacts: temperature 1, no sets")
    metrics: dict[str, float] = Field(default={})
    hyperparameters: dict[str, str] = Field(default={})
    image_uri: str = Field(default="", description="training image, with its content hash as the tag")
    sha256: dict[str, str] = Field(
        default={}, description="hex digests of the artifact's large files by name; none in older artifacts"
    )


def read_description(folder: Path) -> ModelDescription:
    """`model.json` of an unpacked artifact. Raises StepError that names the file when it is missing or not valid."""
    path = folder / DESCRIPTION
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise StepError(f"{path}: missing; this is not a model artifact of this pipeline") from error
    return parse(ModelDescription, content, str(path), f"model description of version {VERSION}")


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_file(folder: Path, name: str, description: ModelDescription) -> Path:
    """The path of an artifact's file, if it is as it was written. Raises StepError with the path of a damaged file."""
    path = folder / name
    if not path.is_file():
        raise StepError(f"{path}: missing; this model artifact is incomplete, train the model again")
    expected = description.sha256.get(name)
    if expected is not None and digest(path) != expected:
        raise StepError(
            f"{path}: damaged, {path.stat().st_size:,} bytes whose SHA-256 is not that of {DESCRIPTION};"
            " copy the artifact again, or train the model again"
        )
    return path
