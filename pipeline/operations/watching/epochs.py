"""The finished epochs of trials, from their logs, a few requests at a time.

FilterLogEvents has a quota of five requests per second for the whole account and region, so a look reads the logs of
LOGS trials at most, the one that was read longest ago first:
https://repost.aws/knowledge-center/cloudwatch-logs-throttling
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pipeline.operations.models import curves
from pipeline.operations.models.curves import Epoch
from pipeline.operations.runs.progress import TrialJob
from pipeline.settings import Settings

# Logs that are read per look.
LOGS = 2
_RUNNING = ("InProgress", "Stopping")


@dataclass
class _Log:
    read: float = float("-inf")
    """When the log was read, by the clock of the looks."""
    whole: bool = False
    """Whether the trial had ended by then."""
    since: float = 0.0
    """Unix time of the newest epoch."""
    epochs: dict[int, Epoch] = field(default_factory=dict)


class EpochReader:
    """Reads each trial's log while it runs and once after its end, from its newest epoch on."""

    def __init__(self, settings: Settings, seconds: float) -> None:
        """`seconds` pass at least between two requests for the same trial."""
        self._settings, self._seconds = settings, seconds
        self._logs: dict[str, _Log] = {}

    def update(self, trials: Iterable[TrialJob], now: float) -> bool:
        """Read the logs that are due, LOGS at most; `now` is in seconds. Returns whether there were any.

        Raises what the service answers.
        """
        due = [trial for trial in trials if self._is_due(trial, now)]
        # Those that run come first: the end of the others is no news any more.
        due.sort(key=lambda trial: (trial.status not in _RUNNING, self._log(trial).read))
        for trial in due[:LOGS]:
            log = self._log(trial)
            log.read = now
            for time, epoch in curves.logged(self._settings, trial.name, log.since):
                log.epochs[epoch.epoch] = epoch
                log.since = max(log.since, time.timestamp())
            log.whole = trial.status not in _RUNNING
        return bool(due)

    def of(self, trial: TrialJob) -> tuple[Epoch, ...]:
        """The epochs that have been read, oldest first."""
        epochs = self._log(trial).epochs
        return tuple(epochs[number] for number in sorted(epochs))

    def _is_due(self, trial: TrialJob, now: float) -> bool:
        log = self._log(trial)
        if trial.status in _RUNNING:
            return trial.started is not None and now - log.read >= self._seconds
        return not log.whole and trial.started is not None

    def _log(self, trial: TrialJob) -> _Log:
        return self._logs.setdefault(trial.name, _Log())
