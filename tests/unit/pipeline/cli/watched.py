"""A run in its middle, with everything that a view of it may show."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from pipeline.operations.models.curves import Epoch
from pipeline.operations.runs.executions import Execution
from pipeline.operations.runs.progress import Progress, Saving, StepRun, TrialJob
from pipeline.operations.watching.snapshot import CostSoFar, Snapshot, TrialDetail
from steps.contracts.left_out import LeftOut

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NOW = START + timedelta(seconds=725)
EXECUTION = Execution(
    "arn:aws:sagemaker:us-east-1:123456789012:pipeline/bins/execution/ab12cd34ef56",
    "Executing",
    START,
    name="with-more-photos",
)
SOURCE = EXECUTION.arn.replace("ab12cd34ef56", "zy98xw76vu54")
NO_CAPACITY = "Insufficient capacity error from EC2 while launching instances, retrying!"


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def epochs(*accuracies: float) -> tuple[Epoch, ...]:
    return tuple(
        Epoch(epoch=number, train_loss=1, validation_loss=1, validation_accuracy=accuracy, validation_rmse=1)
        for number, accuracy in enumerate(accuracies, 1)
    )


def trial(
    number: int,
    status: str,
    *,
    started: float | None = 120,
    ended: float | None = None,
    objective: float | None = None,
    waiting: str = "",
    spot: bool = False,
    failure: str = "",
) -> TrialJob:
    return TrialJob(
        f"trial-{number}",
        status,
        after(100 + number),
        None if started is None else after(started),
        None if ended is None else after(ended),
        objective,
        "" if objective is None else "validation:best_accuracy",
        {"learning-rate": "0.0029312345", "weight-decay": "0.0001"},
        failure,
        waiting,
        spot,
    )


STEPS = (
    StepRun("CheckParameters", "Succeeded", START, after(0.4), metadata={"Condition": {"Outcome": "True"}}),
    StepRun(
        "QueryMetadata",
        "Succeeded",
        after(1),
        after(42),
        cached_from=SOURCE,
        saving=Saving(185, 180, Decimal("0.0239")),
    ),
    StepRun("ShardImages", "Succeeded", after(43), after(140), attempts=2),
    StepRun("TuneModel", "Executing", after(141), metadata={"TuningJob": {"Arn": "arn:x/tune-1"}}),
    StepRun("EvaluateModel", "Waiting"),
    StepRun("QualityGate", "Waiting"),
    StepRun("NewVersion", "Waiting", condition="QualityGate"),
    StepRun("RegisterModel", "Waiting", condition="NewVersion"),
    StepRun("DeployModel", "Waiting", condition="NewVersion"),
)
TRIALS = (
    trial(1, "Completed", ended=400, objective=0.4649),
    trial(2, "Stopped", ended=180, objective=0.1974),
    trial(3, "InProgress"),
    trial(4, "InProgress", started=None, waiting=NO_CAPACITY, spot=True),
)
SNAPSHOT = Snapshot(
    Progress(EXECUTION, STEPS, TRIALS),
    {
        "trial-1": TrialDetail("", 9, epochs(0.2, 0.25, 0.3, 0.35, 0.4, 0.42, 0.45, 0.4649, 0.46)),
        "trial-3": TrialDetail("Training", 30, epochs(0.22, 0.31, 0.41, 0.4)),
    },
    (LeftOut("ShardImages", "truncated", 9, ()), LeftOut("ShardImages", "no photo", 3, ())),
    CostSoFar(3912, Decimal("1.2345"), complete=True, priced=date(2026, 8, 1)),
)
