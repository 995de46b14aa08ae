"""Follows a run with its details: epochs of trials, photos left out, and the cost so far.

Besides what progress.py asks for, a look reads LOGS logs and JOBS jobs at most, and the summaries of two steps once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from pipeline.operations.caching import savings
from pipeline.operations.cost.measured import reason, unanswered
from pipeline.operations.cost.prices import FILE, Prices
from pipeline.operations.dataset.description import SELECTING, left_out_by
from pipeline.operations.runs import progress
from pipeline.operations.runs.progress import Progress
from pipeline.operations.watching.epochs import EpochReader
from pipeline.operations.watching.snapshot import Snapshot
from pipeline.operations.watching.spending import JobReader
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from steps.contracts.left_out import LeftOut

# Looks that a single one stands for, where there is no next one.
ROUNDS = 8


@dataclass(frozen=True)
class Pace:
    """Seconds between two requests for the same trial's log, and for the same running job."""

    logs: float
    jobs: float


# An epoch takes minutes in an account, and seconds in the local cloud.
PACE, LOCAL_PACE = Pace(logs=10.0, jobs=30.0), Pace(logs=1.0, jobs=2.0)


def pace_of(settings: Settings) -> Pace:
    """The pace for an account, which has quotas, or for the local cloud."""
    return LOCAL_PACE if settings.account.target == "local" else PACE


def follow(settings: Settings, arn: str, *, interval: float = 3.0, details: bool = True) -> Iterator[Snapshot]:
    """The run at once and after each change until it has ended; `interval` is the seconds between two looks.

    Without `details` the snapshots have the progress alone, by the requests for that alone. Cached steps have their
    savings. Raises PipelineError where nothing changes for progress.UNCHANGED_SECONDS.
    """
    reader = savings.reader(settings)
    if not details:
        yield from map(Snapshot, reader.each(progress.follow(settings, arn, interval=interval)))
        return
    watching = Details(settings)
    last: Snapshot | None = None
    for now in reader.each(progress.looks(settings, arn, interval=interval)):
        snapshot = watching.all_of(now) if now.execution.ended else watching.of(now)
        if snapshot != last:
            last = snapshot
            yield snapshot


def read(settings: Settings, arn: str) -> Snapshot:
    """The present state of the run with its details."""
    run = savings.reader(settings).annotated(progress.read(settings, arn))
    return Details(settings).all_of(run)


class Details:
    """Reads the details of one run, look by look, and keeps what was read."""

    def __init__(self, settings: Settings) -> None:
        pace = pace_of(settings)
        self._settings = settings
        self._epochs = EpochReader(settings, pace.logs)
        self._jobs = JobReader(settings, Prices(FILE, settings.account.region), pace.jobs)
        self._left_out: dict[str, tuple[LeftOut, ...]] = {}
        self._problems: dict[str, str] = {}

    def of(self, run: Progress) -> Snapshot:
        """The run with what is known by now; reads what is due. An error of AWS becomes a line of the snapshot.

        Raises the error for credentials that have expired.
        """
        return self._read(run)[0]

    def all_of(self, run: Progress) -> Snapshot:
        """The same for a single look, which reads as much as ROUNDS looks do."""
        for _ in range(ROUNDS):
            snapshot, was_due = self._read(run)
            if not was_due:
                break
        return snapshot

    def _read(self, run: Progress) -> tuple[Snapshot, bool]:
        """The snapshot, and whether anything was due."""
        now = time.monotonic()
        # Each is tried: where one is refused the others may be allowed.
        was_due = [
            self._tried("epochs of trials", lambda: self._epochs.update(run.trials, now)),
            self._tried("cost", lambda: self._jobs.update(run, now)),
            *(self._tried(f"photos left out by {name}", partial(self._select, run, name)) for name in SELECTING),
        ]
        trials = tuple(map(self._jobs.trial, run.trials))
        snapshot = Snapshot(
            replace(run, trials=trials),
            {trial.name: replace(self._jobs.detail(trial), epochs=self._epochs.of(trial)) for trial in trials},
            tuple(each for name in SELECTING for each in self._left_out.get(name, ())),
            self._jobs.cost(run),
            tuple(self._problems.values()),
        )
        return snapshot, any(was_due)

    def _select(self, run: Progress, name: str) -> bool:
        """Read what a step left out once it has succeeded: its summary does not change any more."""
        step = next((step for step in run.steps if step.name == name), None)
        is_ready = step is not None and step.status == "Succeeded" and step.arn("ProcessingJob") is not None
        if not is_ready or name in self._left_out:
            return False
        try:
            self._left_out[name] = left_out_by(self._settings, run, name)
        except PipelineError:
            # A summary that is missing or damaged stays so.
            self._left_out[name] = ()
            raise
        return True

    def _tried(self, what: str, read: Callable[[], bool]) -> bool:
        """Read; keeps a line where AWS does not answer, until it does. Returns whether anything was due."""
        try:
            was_due = read()
        except unanswered() as error:
            self._problems[what] = f"{what}: not known ({reason(error)})"
            return True
        if was_due:
            self._problems.pop(what, None)
        return was_due
