"""The model artifact under evaluation: its archive, its training history, and its weights in PyTorch."""

from __future__ import annotations

import json
import tarfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from steps.contracts.archives import unpack_gzip
from steps.contracts.artifact import HISTORY, WEIGHTS, ModelDescription, check_file
from steps.contracts.errors import StepError
from steps.contracts.evaluation import Agreement
from steps.contracts.full_disk import is_disk_full
from steps.model.predictor import decide, softmax, temperature

if TYPE_CHECKING:
    from torch import nn

ARCHIVE = "model.tar.gz"
# Photos that ONNX Runtime and PyTorch both predict.
AGREEMENT_PHOTOS = 256
# Largest accepted difference of two probabilities. Rounding explains a millionth; with another network's graph the
# difference is some tenths.
TOLERANCE = 1e-3


def find_archive(folder: Path) -> Path:
    """The one `model.tar.gz` below `folder`. Raises StepError where there is none, or more."""
    archives = sorted(folder.rglob(ARCHIVE))
    if len(archives) != 1:
        raise StepError(f"{folder}: contains {len(archives)} files {ARCHIVE}, expected one")
    return archives[0]


def unpack(folder: Path) -> Path:
    """Unpack the one `model.tar.gz` below `folder`; returns the folder of its files.

    Raises StepError for a damaged archive, and for a member that would be written outside that folder.
    """
    path = find_archive(folder)
    target = folder / "unpacked"
    try:
        unpack_gzip(path, target)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        if is_disk_full(error):
            raise  # the archive is not to blame
        raise StepError(f"{path}: not a usable model artifact: {error}") from error
    return target


class Epoch(BaseModel):
    """The part of an epoch's record that the report draws."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    epoch: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    validation_rmse: float


def read_history(folder: Path) -> list[Epoch]:
    """The epochs of an unpacked artifact, none for an artifact without a history. Raises StepError for damage."""
    path = folder / HISTORY
    if not path.exists():
        return []
    try:
        return [Epoch.model_validate(epoch) for epoch in json.loads(path.read_text())["epochs"]]
    except (ValueError, TypeError, KeyError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise StepError(f"{path}: not a training history ({first}); train the model again") from error


def load_network(folder: Path, description: ModelDescription) -> nn.Module:
    """The network of an unpacked artifact in PyTorch, on the CPU. Raises StepError that names an unusable file."""
    import safetensors
    from safetensors.torch import load_file

    from steps.model.network import build_network

    path = check_file(folder, WEIGHTS, description)
    shape = (description.architecture, len(description.classes), description.image_size)
    network = build_network(*shape, seed=0, mirrored=description.mirrored)
    try:
        network.load_state_dict(load_file(path))
    except (safetensors.SafetensorError, RuntimeError) as error:
        first = str(error).splitlines()[0]
        raise StepError(f"{path}: not the weights of {description.architecture}: {first}; train it again") from error
    return network.eval()


class AgreementCheck:
    """Compares ONNX Runtime, which serves, with PyTorch, which trained, on the first photos of the test split."""

    def __init__(self, folder: Path, description: ModelDescription) -> None:
        self._network = load_network(folder, description)
        self._description = description
        self._photos = self._same_counts = 0
        self._largest_difference = 0.0

    def add(self, photos: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> None:
        """Compare ONNX Runtime's probabilities (N, classes) of photos (N, 3, S, S), up to AGREEMENT_PHOTOS.

        Raises StepError when they differ by more than TOLERANCE.
        """
        left = AGREEMENT_PHOTOS - self._photos
        if left <= 0:
            return
        import torch

        photos, probabilities = photos[:left], probabilities[:left]
        with torch.inference_mode():
            expected = softmax(self._network(torch.from_numpy(photos)).numpy(), temperature(self._description))
        difference = float(np.abs(expected - probabilities).max())
        # Not `>`: a NaN has to fail too.
        if not difference <= TOLERANCE:
            raise StepError(
                f"the artifact's ONNX graph disagrees with its PyTorch weights: probabilities differ by "
                f"{difference:.2g}, more than {TOLERANCE}; train the model again"
            )
        classes, decision = self._description.classes, self._description.decision
        same = decide(expected, classes, decision) == decide(probabilities, classes, decision)
        self._photos += len(photos)
        self._same_counts += int(same.sum())
        self._largest_difference = max(self._largest_difference, difference)

    def result(self) -> Agreement:
        """The comparison of all photos that were added."""
        difference = self._largest_difference
        return Agreement(photos=self._photos, same_counts=self._same_counts, largest_difference=difference)
