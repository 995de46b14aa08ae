"""The network: a torchvision classifier that takes uint8 photos and normalises them itself."""

from __future__ import annotations

import difflib
from typing import Any

import torch
from torch import Tensor, nn

from steps.contracts.artifact import IMAGENET_MEAN, IMAGENET_STD
from steps.contracts.errors import StepError

# Two classifiers have a second, auxiliary output during training; here they have one.
_ONE_OUTPUT = {"aux_logits": False, "init_weights": True}
_MORE_ARGUMENTS = {"googlenet": _ONE_OUTPUT, "inception_v3": _ONE_OUTPUT}
# Definitions in this library exist as long as the object, here as long as the process.
_SCHEMAS = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]


class Normalise(nn.Module):
    """Values 0..255 to ImageNet's convention. A module of its own, so that the names of its constants have a dot: in an
    ONNX graph the results of operations have names too, for example `mean`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1) * 255)

    def forward(self, photos: Tensor) -> Tensor:
        """Float (N, 3, S, S)."""
        return (photos.float() - self.mean) / self.std


class CountClassifier(nn.Module):
    """Photos (N, 3, S, S), uint8 or float in 0..255, to logits (N, classes).

    It contains the normalisation, so that every runtime of the exported model has the same. With `mirrored`, answers
    outside of training are the mean of the probabilities of the photo and of its mirror image, as logits.
    """

    def __init__(self, network: nn.Module, *, mirrored: bool = False) -> None:
        super().__init__()
        self.normalise = Normalise()
        self.network = network
        self.mirrored = mirrored

    def forward(self, photos: Tensor) -> Tensor:
        """Logits (N, classes), float."""
        normalised = self.normalise(photos)
        logits: Tensor = self.network(normalised)
        if self.training or not self.mirrored:
            return logits
        both = torch.stack([logits, self.network(normalised.flip(-1))]).float().log_softmax(2)
        # Twice the mean; a softmax takes no notice of a factor.
        return both.logsumexp(0)


def build_network(
    architecture: str, classes: int, image_size: int, seed: int, *, mirrored: bool = False
) -> CountClassifier:
    """A classifier with random weights drawn from `seed`, whose answers are of both mirrorings with `mirrored`.

    Raises StepError when torchvision has no such classifier, with the nearest names, or when it does not support photos
    of that size.
    """
    models = import_torchvision()
    architectures = models.list_models(module=models)
    if architecture not in architectures:
        near = ", ".join(difflib.get_close_matches(architecture, architectures, 3)) or "resnet18, resnet34, resnet50"
        raise StepError(f"--architecture {architecture}: torchvision has no such classifier; similar: {near}")
    arguments: dict[str, Any] = dict(_MORE_ARGUMENTS.get(architecture, {}))
    if architecture.startswith("vit_"):
        arguments["image_size"] = image_size
    torch.manual_seed(seed)
    try:
        inner = models.get_model(architecture, weights=None, num_classes=classes, **arguments)
        network = CountClassifier(inner, mirrored=mirrored)
        with torch.inference_mode():
            network.eval()(torch.zeros(1, 3, image_size, image_size, dtype=torch.uint8))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise StepError(
            f"--architecture {architecture} does not support photos of --image-size {image_size}: {error}"
        ) from error
    return network.train()


def check_half_size(network: CountClassifier, architecture: str, image_size: int) -> None:
    """Raise StepError for a network that does not support photos of half the side `image_size` too."""
    training, side = network.training, image_size // 2
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, 3, side, side, dtype=torch.uint8))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise StepError(
            f"--architecture {architecture} does not support photos of {side} pixels, half of the image size;"
            f" set training.progressive_resizing to 0: {error}"
        ) from error
    network.train(training)


def import_torchvision() -> Any:
    """Import torchvision's `models`, also where torchvision's compiled operators cannot be loaded.

    The PyPI wheel's operators need CUDA libraries, which a CPU build of torch does not include. The import then fails
    on the schema of `torchvision::nms`, an operator of object detection that no classifier calls: with the schemas
    defined, the models work. They are defined only after a failed import, since a second definition is an error.
    """
    try:
        from torchvision import models
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for operator in ("nms", "qnms"):
            schema = f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            _SCHEMAS.define(schema)  # type: ignore[no-untyped-call]
        from torchvision import models
    return models
