"""What the evaluate step is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from steps.model.predictor import Decision


@dataclass(frozen=True)
class Settings:
    """`group` is the model package group whose latest approved version is the champion; empty for no comparison.

    `tuning_job` and `run` (an ARN) are where the model comes from, empty where that is not known. The images are those
    that judge and serve it: a version in the group with the same ones, and the same model and data, is not registered
    a second time unless `register_again` is `yes`. `approval` is the status that the run asks for.
    """

    decision: Decision
    batch_size: int = 64
    group: str = ""
    tuning_job: str = ""
    run: str = ""
    minimum_accuracy: float | None = None
    maximum_rmse: float | None = None
    maximum_accuracy_loss: float | None = None
    evaluation_image: str = ""
    serving_image: str = ""
    register_again: Literal["no", "yes"] = "no"
    approval: str = "PendingManualApproval"
