"""Checkpoints: the state from which a training resumes at the same step of the same epoch, with the same results.

One file per checkpoint, `epoch-EEEE-step-SSSSSS-DIGEST.pt`. The digest of its bytes is in its name, so that a partial
or damaged file is detected without a second file. Order of samples, augmentation, dropout and learning rate are
functions of (seed, epoch, step, rank), so that no generator or scheduler has a state to save.

Only rank 0 writes and reads: on a cluster every instance synchronises its folder with one S3 prefix.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from steps.contracts.errors import StepError
from steps.train.diagnostics import NO_NORMS, NormSum
from steps.train.history import History

log = logging.getLogger(__name__)

_NAME = re.compile(r"epoch-(\d+)-step-(\d+)-([0-9a-f]{16})\.pt")


@dataclass
class Progress:
    """The position in a training: `step` steps of `epoch` (from 0) are done, with `loss_sum` over `photos` photos."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    photos: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    gradient_norms: NormSum = NO_NORMS
    history: History = field(default_factory=History)

    def next_epoch(self) -> None:
        """Begin the following epoch."""
        self.__init__(epoch=self.epoch + 1, history=self.history)  # type: ignore[misc]


@dataclass(frozen=True)
class State:
    """The learned state of a training, each part as its own `state_dict` returns it."""

    network: dict[str, Any]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    average: dict[str, Any] | None


def encode(progress: Progress, fingerprint: Mapping[str, str], state: State) -> bytes:
    """A checkpoint as bytes; a job that resumes from it must have the same `fingerprint`."""
    content = {
        "fingerprint": dict(fingerprint),
        "progress": {
            **asdict(progress),
            "gradient_norms": tuple(progress.gradient_norms),
            "history": progress.history.model_dump_json(),
        },
        "state": vars(state),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def decode(data: bytes) -> tuple[Progress, State]:
    """Progress and state of a checkpoint, tensors on the CPU. Loading runs no code from the file."""
    content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    progress = content["progress"]
    history = History.model_validate_json(progress.pop("history"))
    norms = NormSum(*progress.pop("gradient_norms"))
    return Progress(**progress, gradient_norms=norms, history=history), State(**content["state"])


def write(folder: Path, progress: Progress, data: bytes, keep: int) -> Path:
    """Store a checkpoint by rename, then remove all but the newest `keep`."""
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(data).hexdigest()[:16]
    path = folder / f"epoch-{progress.epoch:04d}-step-{progress.step:06d}-{digest}.pt"
    part = path.with_suffix(".part")
    part.write_bytes(data)
    part.replace(path)
    for old in _newest_first(folder)[keep:]:
        old.unlink()
    return path


def read_newest(folder: Path, fingerprint: Mapping[str, str]) -> bytes | None:
    """The newest undamaged checkpoint in the folder; None if there is none.

    A damaged file is logged and skipped. Raises StepError when the checkpoint has other hyperparameters or another data
    set: to resume from it would mix two trainings.
    """
    for path in _newest_first(folder):
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest()[:16] not in path.name:
            log.warning("%s is damaged (its bytes do not match its name); trying the checkpoint before it", path)
            continue
        _refuse_another_training(path, data, fingerprint)
        return data
    return None


def _newest_first(folder: Path) -> list[Path]:
    checkpoints = [(match, path) for path in folder.glob("*.pt") if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(checkpoints, key=lambda item: (int(item[0][1]), int(item[0][2])), reverse=True)]


def _refuse_another_training(path: Path, data: bytes, fingerprint: Mapping[str, str]) -> None:
    recorded: dict[str, str] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)["fingerprint"]
    names = sorted(name for name in {*recorded, *fingerprint} if recorded.get(name) != fingerprint.get(name))
    if names:
        differences = ", ".join(f"{n} is {fingerprint.get(n)} and was {recorded.get(n)}" for n in names)
        raise StepError(f"{path} is a checkpoint of another training: {differences}; remove it or use another folder")
