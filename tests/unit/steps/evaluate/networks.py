"""A model artifact that needs no training: it counts the squares of `tests.unit.steps.train.photos` by brightness."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from steps.common.artifact import DESCRIPTION, HISTORY, ONNX, ModelDescription

IMAGE_SIZE = 16
# Mean pixel of a photo without squares, and what each square of 14x14 in 48x48 pixels adds to it.
DARK, SQUARE = 29.5, 17.06


def brightness_network(classes: Sequence[int], image_size: int = IMAGE_SIZE, scale: float = 0.1) -> onnx.ModelProto:
    """Photos (N, 3, S, S) to logits (N, classes): the nearest of the classes' brightnesses has the largest."""
    centres = np.array([DARK + SQUARE * quantity for quantity in classes], np.float32)
    with np.errstate(over="ignore"):  # a scale that makes infinite weights is there to be refused
        weights, bias = np.tile(2 * centres / 3, (3, 1)) * scale, -(centres**2) * scale
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
    history: str | None = None,
    **facts: Any,
) -> Path:
    """The files of an unpacked artifact."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(network or brightness_network(classes), folder / ONNX)
    description = ModelDescription(
        **{"architecture": "brightness", "classes": list(classes), "image_size": IMAGE_SIZE, "dataset_sha256": "f" * 64}
        | facts
    )
    (folder / DESCRIPTION).write_text(description.model_dump_json())
    if history is not None:
        (folder / HISTORY).write_text(history)
    return folder


def pack(folder: Path) -> bytes:
    """`model.tar.gz` of an unpacked artifact."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for file in sorted(folder.iterdir()):
            archive.add(file, file.name)
    return buffer.getvalue()
