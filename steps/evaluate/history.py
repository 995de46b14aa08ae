"""The best trial's epochs, from its artifact."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from steps.contracts.artifact import HISTORY
from steps.contracts.errors import StepError


class Epoch(BaseModel):
    """What the report draws of an epoch."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    epoch: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    validation_rmse: float


def read(folder: Path) -> list[Epoch]:
    """The epochs of an unpacked artifact, none where it holds no history. Raises StepError for one that is damaged."""
    path = folder / HISTORY
    if not path.exists():
        return []
    try:
        return [Epoch.model_validate(one) for one in json.loads(path.read_text())["epochs"]]
    except (ValueError, TypeError, KeyError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise StepError(f"{path}: not a training history ({first}); train the model again") from error
