"""The states of a run's steps, as the drawing of a definition shows them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.operations.runs.progress import Progress, StepRun, TrialJob
from pipeline.texts import duration, time_text
from steps.contracts.wording import count_of

# Words for the statuses of trials, of which the first that occurs is named.
_TRIALS = {"InProgress": "running", "Failed": "failed"}
_OUTCOMES = {"True": True, "False": False}


@dataclass(frozen=True)
class NodeState:
    """The state of a step in a run.

    `status` is that of `StepRun`, `time` how long it took or has run, `detail` one more line, such as the reason of a
    failure. `outcome` is that of a condition, once it is decided.
    """

    status: str
    time: str = ""
    detail: str = ""
    cached: bool = False
    outcome: bool | None = None


def states_of(progress: Progress) -> dict[str, NodeState]:
    """The states of a run's steps by name, with times until now for those that run."""
    return {step.name: state_of(step, progress.trials) for step in progress.steps}


def state_of(step: StepRun, trials: Iterable[TrialJob] = ()) -> NodeState:
    """The state of a step; `trials` are those of the run."""
    return NodeState(
        step.status,
        "" if step.cached else duration(step.started, step.ended),
        _detail(step, trials),
        step.cached,
        _OUTCOMES.get(_outcome(step.metadata)),
    )


def _outcome(metadata: Mapping[str, Mapping[str, str]]) -> str:
    return metadata.get("Condition", {}).get("Outcome", "")


def _detail(step: StepRun, trials: Iterable[TrialJob]) -> str:
    outcome, version = _outcome(step.metadata), step.arn("RegisterModel")
    lines = (
        " ".join(step.failure.split()),
        "" if step.saving is None else f"saved {time_text(step.saving.seconds)}",
        f"attempt {step.attempts}" if step.attempts > 1 else "",
        f"outcome: {outcome.lower()}" if outcome else "",
        f"version {version.rsplit('/', 1)[-1]}" if version else "",
        _trials(trials) if step.arn("TuningJob") and not step.cached else "",
    )
    return next(filter(None, lines), "")


def _trials(trials: Iterable[TrialJob]) -> str:
    """`4 trials, 2 running`; the line of a box has no room for more."""
    counts = Counter(trial.status for trial in trials)
    if not counts:
        return ""
    parts = (f"{counts[status]} {word}" for status, word in _TRIALS.items() if counts[status])
    return ", ".join((count_of(counts.total(), "trial"), *itertools.islice(parts, 1)))
