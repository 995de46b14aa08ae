"""A run as a stream of events in JSON: its state at first, each change, and its outcome at the end.

docs/watching.md documents their fields.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from pipeline.operations.caching import savings
from pipeline.operations.models.registrations import Registration
from pipeline.operations.runs.progress import Progress, TrialJob
from pipeline.operations.watching.snapshot import Snapshot, TrialDetail

Event = Mapping[str, Any]


class Events:
    """The events of one run; each snapshot is compared with the one before."""

    def __init__(self) -> None:
        self._last: Snapshot | None = None

    def since_last(self, now: Snapshot) -> Iterator[Event]:
        """The state at first, then what has changed since the last snapshot; none for a run that ended before."""
        before, self._last = self._last, now
        if before is None:
            if not now.progress.execution.ended:
                yield {**_head("state"), **state_document(now)}
            return
        steps = {step.name: step for step in before.progress.steps}
        for step in now.progress.steps:
            if step != steps.get(step.name):
                yield {**_head("step"), "step": step}
        trials = {trial.name: trial for trial in before.progress.trials}
        for number, trial in enumerate(now.progress.trials, 1):
            yield from _of_trial(number, trials.get(trial.name), before.detail(trial), trial, now.detail(trial))
        for name in ("left_out", "cost", "problems"):
            if getattr(now, name) != getattr(before, name):
                yield {**_head(name), name: getattr(now, name)}
        if now.progress.execution != before.progress.execution:
            yield {**_head("run"), "execution": now.progress.execution}

    def ended(self, now: Snapshot, registration: Registration | None) -> Event:
        """The last event: the whole state, with the outcome of the run."""
        run = now.progress
        saved = [step.saving for step in run.steps if step.cached]
        versions = (step.arn("RegisterModel") for step in run.steps)
        outcome = {
            "succeeded": run.execution.status == "Succeeded",
            "seconds": _seconds(run),
            "failed_step": run.failed.name if run.failed else None,
            "reason": (run.failed.failure if run.failed else "") or run.execution.failure,
            "saved": savings.total(saved) if saved else None,
            "version": next(filter(None, versions), None),
            "registration": registration,
        }
        return {**_head("ended"), **state_document(now), "outcome": outcome}


def state_document(now: Snapshot) -> dict[str, Any]:
    """The whole state of a run: the run, its steps, its trials, photos left out, the cost, and what is not known."""
    trials = (trial_document(number, trial, now.detail(trial)) for number, trial in enumerate(now.progress.trials, 1))
    return {
        "execution": now.progress.execution,
        "steps": now.progress.steps,
        "trials": list(trials),
        "left_out": now.left_out,
        "cost": now.cost,
        "problems": now.problems,
    }


def trial_document(number: int, trial: TrialJob, detail: TrialDetail) -> dict[str, Any]:
    """A trial with its number and what it has shown."""
    return {
        "number": number,
        **dataclasses.asdict(trial),
        "stage": detail.stage,
        "planned_epochs": detail.planned_epochs,
        "best_accuracy": detail.best_accuracy,
        "epochs": [epoch.model_dump() for epoch in detail.epochs],
    }


def _of_trial(
    number: int, before: TrialJob | None, before_detail: TrialDetail, trial: TrialJob, detail: TrialDetail
) -> Iterator[Event]:
    """An event for a change of the trial, and one for each new epoch."""
    stage_changed = (before_detail.stage, before_detail.planned_epochs) != (detail.stage, detail.planned_epochs)
    if trial != before or stage_changed:
        document = trial_document(number, trial, detail)
        # Each epoch is an event of its own.
        del document["epochs"]
        yield {**_head("trial"), "trial": document}
    for epoch in detail.epochs:
        if epoch not in before_detail.epochs:
            yield {**_head("epoch"), "number": number, "name": trial.name, "epoch": epoch.model_dump()}


def _head(event: str) -> dict[str, Any]:
    return {"event": event, "time": datetime.now(UTC)}


def _seconds(run: Progress) -> float | None:
    ends = [step.ended for step in run.steps if step.ended]
    end = max(ends, default=run.execution.changed)
    return None if end is None else (end - run.execution.started).total_seconds()
