"""The model artifact, written by rename: a reader finds either the old or the new files, complete."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import nn

from steps.contracts.artifact import (
    DESCRIPTION,
    HISTORY,
    ONNX,
    WEIGHTS,
    ModelDescription,
    check_file,
    read_description,
)
from steps.train.export import OnnxGraph, check_agreement
from steps.train.history import History

# In the order of replacing: the description last, since a reader reads it first.
FILES = (WEIGHTS, ONNX, HISTORY, DESCRIPTION)


def write_artifact(
    folder: Path, network: nn.Module, graph: OnnxGraph, description: ModelDescription, history: History
) -> None:
    """Write all files of the artifact into `folder`, replacing those of an earlier epoch.

    `network` is on the CPU. Raises StepError when the ONNX model does not agree with it.
    """
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    serialised = graph.with_weights(weights)
    check_agreement(serialised, network, description.image_size)
    serialised_weights = save(weights)
    # Next to the folder, not in it: its content at the end of the job becomes the model.
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as name:
        new = Path(name)
        (new / WEIGHTS).write_bytes(serialised_weights)
        (new / ONNX).write_bytes(serialised)
        (new / HISTORY).write_text(history.model_dump_json(indent=2))
        # The digests of the bytes in memory: a file with other bytes is not used.
        digests = {
            WEIGHTS: hashlib.sha256(serialised_weights).hexdigest(),
            ONNX: hashlib.sha256(serialised).hexdigest(),
        }
        description = description.model_copy(update={"sha256": digests})
        (new / DESCRIPTION).write_text(description.model_dump_json(indent=2))
        _put_in_place(new, folder)


def write_history(folder: Path, history: History) -> None:
    """Update `history.json` in an artifact whose model stays."""
    part = folder.parent / f".{folder.name}-{HISTORY}"
    part.write_text(history.model_dump_json(indent=2))
    part.replace(folder / HISTORY)


def copy_artifact(folder: Path, copy: Path) -> None:
    """Copy the artifact to or from the checkpoint folder. An incomplete copy has no description."""
    copy.mkdir(parents=True, exist_ok=True)
    (copy / DESCRIPTION).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=copy.parent, prefix=f".{copy.name}-") as name:
        new = Path(name)
        for file in FILES:
            shutil.copyfile(folder / file, new / file)
        _put_in_place(new, copy)


def check_complete(folder: Path) -> None:
    """Raise StepError with the file of an artifact that is missing or not as it was written."""
    description = read_description(folder)
    for file in FILES:
        check_file(folder, file, description)


def _put_in_place(new: Path, folder: Path) -> None:
    for file in FILES:
        (new / file).replace(folder / file)


def metrics_of(history: History) -> Mapping[str, float]:
    """The metrics of the best epoch, for `model.json`."""
    best = history.best
    return {
        "validation:accuracy": best.validation_accuracy,
        "validation:rmse": best.validation_rmse,
        "validation:loss": best.validation_loss,
        "epoch": float(best.epoch),
    }
