"""The cost of a run so far, a few requests at a time: a job that has ended is read once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pipeline.clients import client
from pipeline.operations.cost import actual
from pipeline.operations.cost.money import INSTANCE_HOURS, SECONDS_PER_HOUR, ZERO, Bill, Item
from pipeline.operations.cost.prices import Prices
from pipeline.operations.runs import progress
from pipeline.operations.runs.progress import Progress, StepRun, TrialJob
from pipeline.operations.watching.snapshot import CostSoFar, TrialDetail
from pipeline.settings import Settings

# Jobs that are read per look.
JOBS = 8
# Statuses of steps and trials.
_RUNNING = ("Starting", "Executing", "Stopping", "InProgress")
_EPOCHS = "epochs"


@dataclass
class _Job:
    read: float = float("-inf")
    ended: bool = False
    items: tuple[Item, ...] = ()
    trial: TrialJob | None = None
    stage: str = ""
    planned_epochs: int | None = None


class JobReader:
    """Reads the jobs of a run: their bills, and the stage of each trial."""

    def __init__(self, settings: Settings, prices: Prices, seconds: float) -> None:
        """`seconds` pass at least between two requests for a job that runs."""
        self._settings, self._prices, self._seconds = settings, prices, seconds
        self._sagemaker = client(settings, "sagemaker")
        self._jobs: dict[str, _Job] = {}

    def update(self, run: Progress, now: float) -> bool:
        """Read the jobs that are due, JOBS at most; `now` is in seconds. Returns whether there were any.

        Raises what the service answers.
        """
        due = [(key, part) for key, part in _parts(run) if self._is_due(key, part, now)]
        for key, part in sorted(due, key=lambda each: self._job(each[0]).read)[:JOBS]:
            job = self._job(key)
            job.read = now
            if isinstance(part, TrialJob):
                self._read_trial(job, part)
            else:
                job.items = actual.step_bill(self._settings, part, (), self._prices, datetime.now(UTC))[0].items
            job.ended = part.status not in _RUNNING
        return bool(due)

    def trial(self, trial: TrialJob) -> TrialJob:
        """The trial with what it waits for after an interruption."""
        job = self._job(trial.name)
        if trial.status != "InProgress" or trial.waiting or job.trial is None:
            return trial
        return replace(trial, waiting=job.trial.waiting, spot=job.trial.spot)

    def detail(self, trial: TrialJob) -> TrialDetail:
        """The stage of a trial while it runs, and its planned epochs."""
        job = self._job(trial.name)
        return TrialDetail(job.stage if trial.status in _RUNNING else "", job.planned_epochs)

    def cost(self, run: Progress) -> CostSoFar | None:
        """The cost by the bills that have been read; None before the first.

        Jobs of a step's earlier attempts count where they were read in time.
        """
        if not any(job.read > float("-inf") for job in self._jobs.values()):
            return None
        bill = Bill(tuple(item for job in self._jobs.values() for item in job.items))
        hours = sum((item.quantity for item in bill.items if item.unit == INSTANCE_HOURS), ZERO)
        seconds = round(hours.low * SECONDS_PER_HOUR)
        unread = any(self._job(key).read == float("-inf") for key, _ in _parts(run))
        complete = not bill.missing and not unread and all(step.attempts <= 1 for step in run.steps)
        if self._settings.account.target == "local":
            return CostSoFar(seconds, None, complete)
        dates = [price.date for price in bill.prices if price.date]
        usd = bill.total.low if bill.total.low or not bill.missing else None
        return CostSoFar(seconds, usd, complete, min(dates, default=None))

    def _read_trial(self, job: _Job, trial: TrialJob) -> None:
        described = self._sagemaker.describe_training_job(TrainingJobName=trial.name)
        job.items = tuple(actual.training_items(trial.name, described, self._prices, datetime.now(UTC)))
        job.trial = progress.with_reason(trial, described)
        job.stage = described.get("SecondaryStatus", "")
        job.planned_epochs = _whole(described.get("HyperParameters", {}).get(_EPOCHS, ""))

    def _is_due(self, key: str, part: StepRun | TrialJob, now: float) -> bool:
        job = self._job(key)
        return now - job.read >= self._seconds if part.status in _RUNNING else not job.ended

    def _job(self, key: str) -> _Job:
        return self._jobs.setdefault(key, _Job())


def _parts(run: Progress) -> Iterator[tuple[str, StepRun | TrialJob]]:
    """What a run is billed for, each with a key of its own: steps with a job, and trials."""
    for step in run.steps:
        job = step.arn("ProcessingJob") or step.arn("TrainingJob")
        if job and not step.cached:
            yield job, step
    yield from ((trial.name, trial) for trial in run.trials)


def _whole(text: str) -> int | None:
    """A hyperparameter as a whole number, with or without the quotes that SageMaker adds."""
    text = text.strip('"')
    return int(text) if text.isdecimal() else None
