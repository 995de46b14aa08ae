"""ONNX Runtime against PyTorch on real photos: what is served must count as what was trained."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steps.contracts.artifact import WEIGHTS, ModelDescription
from steps.contracts.errors import StepError
from steps.contracts.evaluation import Agreement
from steps.model.predictor import decide, softmax

if TYPE_CHECKING:
    from torch import nn

log = logging.getLogger(__name__)

PHOTOS = 256
# Between two probabilities. Rounding explains a millionth; a graph that is not the network's differs by tenths.
TOLERANCE = 1e-3


class Comparison:
    """Compares the first photos that come by."""

    def __init__(self, folder: Path, description: ModelDescription) -> None:
        self._network = load_network(folder, description)
        self._description = description
        self._photos = self._same = 0
        self._largest = 0.0

    def add(self, photos: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> None:
        """Compare ONNX Runtime's probabilities (N, classes) of photos (N, 3, S, S), until there were enough.

        Raises StepError when they differ by more than TOLERANCE.
        """
        left = PHOTOS - self._photos
        if left <= 0:
            return
        import torch

        photos, probabilities = photos[:left], probabilities[:left]
        with torch.inference_mode():
            wanted = softmax(self._network(torch.from_numpy(photos)).numpy())
        difference = float(np.abs(wanted - probabilities).max())
        # Not `>`: a NaN has to fail too.
        if not difference <= TOLERANCE:
            raise StepError(
                f"the artifact's ONNX graph disagrees with its PyTorch weights: probabilities differ by "
                f"{difference:.2g}, more than {TOLERANCE}; train the model again"
            )
        classes, decision = self._description.classes, self._description.decision
        same = decide(wanted, classes, decision) == decide(probabilities, classes, decision)
        self._photos += len(photos)
        self._same += int(same.sum())
        self._largest = max(self._largest, difference)

    def result(self) -> Agreement:
        """What was found."""
        return Agreement(photos=self._photos, same_counts=self._same, largest_difference=self._largest)


def load_network(folder: Path, description: ModelDescription) -> nn.Module:
    """The network of an unpacked artifact in PyTorch, on the CPU. Raises StepError that names an unusable file."""
    import safetensors
    from safetensors.torch import load_file

    from steps.model.network import build_network

    path = folder / WEIGHTS
    if not path.is_file():
        raise StepError(f"{path}: missing; this is not a whole model artifact, train the model again")
    network = build_network(description.architecture, len(description.classes), description.image_size, seed=0)
    try:
        network.load_state_dict(load_file(path))
    except (safetensors.SafetensorError, RuntimeError) as error:
        first = str(error).splitlines()[0]
        raise StepError(f"{path}: not the weights of {description.architecture}: {first}; train it again") from error
    return network.eval()
