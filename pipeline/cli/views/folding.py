"""What folds where a terminal has fewer rows than a run has steps and trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from pipeline.cli.views.notes import best_so_far
from pipeline.operations.runs.progress import Progress, StepRun, TrialJob
from pipeline.operations.watching.snapshot import Snapshot
from steps.contracts.wording import count_of

_RUNNING = ("InProgress", "Stopping")


@dataclass(frozen=True)
class Fold:
    """What is left out: hyperparameters, trials and steps that have ended, steps to come, notes, running trials.

    `running_trials` is the number of trials that are shown, None for all.
    """

    hyperparameters: bool = False
    ended_trials: bool = False
    ended_steps: bool = False
    waiting_steps: bool = False
    notes: bool = False
    running_trials: int | None = None


FULL = Fold()


@dataclass(frozen=True)
class Folded:
    """The row in place of several ones."""

    name: str
    status: str
    note: str = ""


def folds(snapshot: Snapshot) -> Iterator[Fold]:
    """From nothing folded to as much as possible."""
    fold = FULL
    yield fold
    for name in ("hyperparameters", "ended_trials", "ended_steps", "waiting_steps", "notes"):
        fold = replace(fold, **{name: True})
        yield fold
    running = sum(trial.status in _RUNNING for trial in snapshot.progress.trials)
    for number in range(running - 1, -1, -1):
        yield replace(fold, running_trials=number)


def steps_of(run: Progress, fold: Fold) -> Iterator[StepRun | Folded]:
    """The steps in their order; those that have ended are folded at the top, those to come at the end."""
    ended = [step for step in run.steps if fold.ended_steps and step.status == "Succeeded"]
    waiting = [step for step in run.steps if fold.waiting_steps and step.status == "Waiting"]
    hidden = [*(ended if len(ended) > 1 else ()), *(waiting if len(waiting) > 1 else ())]
    if len(ended) > 1:
        cached = sum(step.cached for step in ended)
        yield Folded(f"{count_of(len(ended), 'step')} ended", "Succeeded", f"{cached} from the cache" if cached else "")
    yield from (step for step in run.steps if step not in hidden)
    if len(waiting) > 1:
        yield Folded(f"{count_of(len(waiting), 'step')} to come", "Waiting")


def trials_of(snapshot: Snapshot, fold: Fold) -> Iterator[tuple[int, TrialJob] | Folded]:
    """The trials with their numbers; those that have ended are folded at the top, running ones at the end."""
    trials = list(enumerate(snapshot.progress.trials, 1))
    ended = [pair for pair in trials if pair[1].status not in _RUNNING]
    if fold.ended_trials and len(ended) > 1:
        statuses = Counter(trial.status.lower() for _, trial in ended)
        note = ", ".join(f"{number} {status}" for status, number in statuses.most_common())
        best = best_so_far(snapshot, ended)
        yield Folded(f"{count_of(len(ended), 'trial')} ended", "Completed", "; ".join(filter(None, (note, best))))
        trials = [pair for pair in trials if pair not in ended]
    shown = len(trials) if fold.running_trials is None else fold.running_trials
    yield from trials[:shown]
    if rest := trials[shown:]:
        yield Folded(f"{count_of(len(rest), 'more trial')}", "InProgress", best_so_far(snapshot, rest))
