"""The model artifact, written by rename: a reader finds the old files or the new ones, whole."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import nn

from steps.contracts.artifact import DESCRIPTION, HISTORY, ONNX, WEIGHTS, ModelDescription
from steps.train.export import OnnxGraph, check_agreement
from steps.train.history import History

# In the order in which they are put in place: the description last, since a reader looks for it first.
FILES = (WEIGHTS, ONNX, HISTORY, DESCRIPTION)


def write_artifact(
    folder: Path, network: nn.Module, graph: OnnxGraph, description: ModelDescription, history: History
) -> None:
    """Write all files of the artifact into `folder`, replacing those of a former epoch.

    `network` is on the CPU. Raises StepError when the ONNX model does not agree with it.
    """
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    serialised = graph.with_weights(weights)
    check_agreement(serialised, network, description.image_size)
    # Beside the folder and not in it: what lies in it when the job ends becomes the model.
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as name:
        new = Path(name)
        (new / WEIGHTS).write_bytes(save(weights))
        (new / ONNX).write_bytes(serialised)
        (new / HISTORY).write_text(history.model_dump_json(indent=2))
        (new / DESCRIPTION).write_text(description.model_dump_json(indent=2))
        _put_in_place(new, folder)


def write_history(folder: Path, history: History) -> None:
    """Bring `history.json` up to date in an artifact whose model stays."""
    part = folder.parent / f".{folder.name}-{HISTORY}"
    part.write_text(history.model_dump_json(indent=2))
    part.replace(folder / HISTORY)


def keep_copy(folder: Path, copy: Path) -> None:
    """Copy the artifact to where it outlives the machine, or back. A copy that is not whole has no description."""
    copy.mkdir(parents=True, exist_ok=True)
    (copy / DESCRIPTION).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=copy.parent, prefix=f".{copy.name}-") as name:
        new = Path(name)
        for file in FILES:
            shutil.copyfile(folder / file, new / file)
        _put_in_place(new, copy)


def is_whole(folder: Path) -> bool:
    """Whether all files of an artifact are there."""
    return all((folder / file).is_file() for file in FILES)


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
