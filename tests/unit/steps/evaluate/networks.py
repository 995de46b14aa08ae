"""A model artifact that needs no training: it counts the squares of `tests.unit.steps.train.photos` by brightness."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from safetensors.torch import save_file
from torch import Tensor, nn

from steps.contracts.artifact import DESCRIPTION, HISTORY, ONNX, WEIGHTS, ModelDescription
from steps.model.network import build_network
from steps.train.export import OnnxGraph

IMAGE_SIZE = 16
SCALE = 0.1
# Mean pixel of a photo without squares, and what each square of 14x14 in 48x48 pixels adds to it.
DARK, SQUARE = 29.5, 17.06


def constants(classes: Sequence[int], scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights (3, classes) and bias (classes,) of the brightness network."""
    centres = np.array([DARK + SQUARE * quantity for quantity in classes], np.float32)
    with np.errstate(over="ignore"):  # a scale that makes infinite weights has to be refused
        return np.tile(2 * centres / 3, (3, 1)) * np.float32(scale), -(centres**2) * np.float32(scale)


class Brightness(nn.Module):
    """The brightness network in PyTorch."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.weights, self.bias = nn.Parameter(torch.zeros(3, classes)), nn.Parameter(torch.zeros(classes))

    def forward(self, photos: Tensor) -> Tensor:
        return photos.float().mean((2, 3)) @ self.weights + self.bias


def brightness_network(classes: Sequence[int], image_size: int = IMAGE_SIZE, scale: float = SCALE) -> onnx.ModelProto:
    """Photos (N, 3, S, S) to logits (N, classes): the nearest of the classes' brightnesses has the largest."""
    weights, bias = constants(classes, scale)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["photos"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["pixels", "axes"], ["means"], keepdims=0),
            helper.make_node("MatMul", ["means", "weights"], ["scaled"]),
            helper.make_node("Add", ["scaled", "bias"], ["logits"]),
        ],
        "brightness",
        [helper.make_tensor_value_info("photos", TensorProto.UINT8, ["n", 3, image_size, image_size])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", len(classes)])],
        [
            helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3]),
            helper.make_tensor("weights", TensorProto.FLOAT, weights.shape, weights.ravel()),
            helper.make_tensor("bias", TensorProto.FLOAT, bias.shape, bias),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def write_artifact(
    folder: Path,
    classes: Sequence[int],
    *,
    network: onnx.ModelProto | None = None,
    scale: float = SCALE,
    trained_scale: float | None = None,
    history: str | None = None,
    **facts: Any,
) -> Path:
    """The files of an unpacked artifact; `trained_scale` is PyTorch's, where it is not to be that of ONNX."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(network or brightness_network(classes, scale=scale), folder / ONNX)
    weights, bias = constants(classes, scale if trained_scale is None else trained_scale)
    save_file({"weights": torch.from_numpy(weights), "bias": torch.from_numpy(bias)}, folder / WEIGHTS)
    description = ModelDescription(
        **{"architecture": "brightness", "classes": list(classes), "image_size": IMAGE_SIZE, "dataset_sha256": "f" * 64}
        | facts
    )
    (folder / DESCRIPTION).write_text(description.model_dump_json())
    if history is not None:
        (folder / HISTORY).write_text(history)
    return folder


def write_trainable_artifact(folder: Path, classes: Sequence[int], dataset_sha256: str) -> Path:
    """An artifact of one of torchvision's networks, with the weights it starts from and mirrored answers."""
    folder.mkdir(parents=True, exist_ok=True)
    architecture, image_size = "squeezenet1_1", 32
    network = build_network(architecture, len(classes), image_size, seed=1, mirrored=True).eval()
    (folder / ONNX).write_bytes(OnnxGraph(network, image_size).with_weights(network.state_dict()))
    save_file(network.state_dict(), folder / WEIGHTS)
    facts = {"classes": list(classes), "image_size": image_size, "dataset_sha256": dataset_sha256}
    description = ModelDescription(architecture=architecture, mirrored=True, **facts)
    (folder / DESCRIPTION).write_text(description.model_dump_json())
    return folder


def pack(folder: Path) -> bytes:
    """`model.tar.gz` of an unpacked artifact."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for file in sorted(folder.iterdir()):
            archive.add(file, file.name)
    return buffer.getvalue()
