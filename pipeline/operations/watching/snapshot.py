"""A moment of a run: its progress, and what its jobs have shown until then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from pipeline.operations.models.curves import Epoch, best_of
from pipeline.operations.runs.progress import Progress, TrialJob
from steps.contracts.left_out import LeftOut


@dataclass(frozen=True)
class CostSoFar:
    """What a run has cost until now: seconds of all instances added up, and their price in USD.

    `usd` is None in the local cloud, which costs nothing, and where every price is missing. `complete` is False where a
    price is missing or a job has not been read yet. `priced` is the date of the oldest price, None without a date.
    """

    instance_seconds: int
    usd: Decimal | None
    complete: bool
    priced: date | None = None


@dataclass(frozen=True)
class TrialDetail:
    """What a trial has shown: its secondary status, the number of epochs that it may take, and its finished ones.

    `stage` is empty and `planned_epochs` is None until the job has been read.
    """

    stage: str = ""
    planned_epochs: int | None = None
    epochs: tuple[Epoch, ...] = ()

    @property
    def best_accuracy(self) -> float | None:
        """The validation accuracy of the best epoch so far; None before the first epoch ends."""
        best = best_of(self.epochs)
        return None if best is None else best.validation_accuracy


@dataclass(frozen=True)
class Snapshot:
    """The run's progress with the details of its trials by name, photos left out, and the cost.

    `cost` is None until it is read. `problems` are lines about what could not be read.
    """

    progress: Progress
    trials: Mapping[str, TrialDetail] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()
    cost: CostSoFar | None = None
    problems: tuple[str, ...] = ()

    def detail(self, trial: TrialJob) -> TrialDetail:
        """What the trial has shown; nothing for one that has not been read."""
        return self.trials.get(trial.name, TrialDetail())
