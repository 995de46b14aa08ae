"""What is worth knowing of a step or of a trial, in a few words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.text import Text

from pipeline.cli.views.cells import reason
from pipeline.cli.views.savings import saving_text
from pipeline.cli.views.sparkline import ASCII_BLOCKS, BLOCKS, sparkline
from pipeline.operations.runs.progress import StepRun, TrialJob
from pipeline.operations.watching.snapshot import Snapshot, TrialDetail
from steps.contracts import metrics
from steps.contracts.wording import count_of

# Words for the outcome of a condition, true and false; the other conditions are passed or not.
_OUTCOMES = {"NewVersion": ("yes", "no")}
# Characters of a trial's curve, and the reasons that are named for photos left out.
_CURVE, _REASONS = 12, 2
# Stages of a trial in which it does not train.
_STAGES = ("Downloading", "Uploading")


def step_note(step: StepRun) -> Text:
    """The most important of: its failure, its source in the cache, its attempt, its outcome."""
    if step.status == "Failed":
        return reason(step.failure)
    if step.cached:
        return Text(_cached(step), style="dim")
    if step.attempts > 1:
        return Text(f"attempt {step.attempts}", style="yellow")
    if outcome := step.metadata.get("Condition", {}).get("Outcome"):
        passed, not_passed = _OUTCOMES.get(step.name, ("passed", "not passed"))
        return Text(passed if outcome == "True" else not_passed, style="dim")
    if version := step.arn("RegisterModel"):
        return Text(f"version {version.rsplit('/', 1)[-1]}", style="dim")
    return Text(decision(step), style="dim")


def trial_note(trial: TrialJob) -> Text:
    """The failure, what the trial waits for, or its objective and hyperparameters."""
    parts = []
    if trial.objective is not None:
        parts.append(f"{metric_name(trial.metric)} {trial.objective:.3f}")
    parts.append(hyperparameters(trial.hyperparameters))
    if trial.failure:
        return reason(trial.failure)
    if trial.waiting:
        return Text(f"waiting: {trial.waiting}", style="yellow")
    return Text(", ".join(filter(None, parts)), style="dim" if trial.objective is None else "")


def watched_step_note(step: StepRun, snapshot: Snapshot) -> Text:
    """The note of a step, with the photos that it left out or the best trial so far."""
    note = step_note(step)
    if step.status == "Failed":
        return note
    more = _left_out(step, snapshot)
    if "TuningJob" in step.metadata:
        more = best_so_far(snapshot, enumerate(snapshot.progress.trials, 1))
    return Text("; ").join(filter(None, (note, Text(more))))


def watched_trial_note(trial: TrialJob, detail: TrialDetail, *, is_short: bool, is_ascii: bool) -> Text:
    """The curve of a trial's accuracy, its best value and its epochs; for a running trial what it waits for.

    A short note has no hyperparameters.
    """
    if trial.failure:
        return reason(trial.failure)
    parts = []
    if trial.waiting:
        parts.append(Text(_waiting(trial), style="yellow"))
    best = trial.objective if trial.objective is not None else detail.best_accuracy
    if best is not None:
        curve = [epoch.validation_accuracy for epoch in detail.epochs]
        drawn = sparkline(curve, ASCII_BLOCKS if is_ascii else BLOCKS, _CURVE) if curve else ""
        parts.append(Text(f"{drawn} {best:.3f}".strip()))
    if trial.status == "InProgress" and not trial.waiting:
        parts.append(Text(_epoch(detail)))
    if not is_short:
        parts.append(Text(hyperparameters(trial.hyperparameters), style="dim"))
    return Text(", ").join(filter(None, parts))


def best_so_far(snapshot: Snapshot, trials: Iterable[tuple[int, TrialJob]]) -> str:
    """`best accuracy 0.412 (trial 3)` of these numbered trials; empty where none has an epoch."""
    values = [
        (best, number)
        for number, trial in trials
        if (best := snapshot.detail(trial).best_accuracy if trial.objective is None else trial.objective) is not None
        # The objective of an earlier definition may be one to minimize.
        and trial.metric in ("", metrics.OBJECTIVE)
    ]
    if not values:
        return ""
    best, number = max(values, key=lambda pair: (pair[0], -pair[1]))
    return f"{metric_name(metrics.OBJECTIVE)} {best:.3f} (trial {number})"


def _waiting(trial: TrialJob) -> str:
    """SageMaker's words for a lack of spot capacity: the status `Pending` or `Interrupted`, or a message about it."""
    if trial.spot and (trial.waiting in ("Pending", "Interrupted") or "capacity" in trial.waiting.lower()):
        return "waiting for spot capacity"
    return f"waiting: {trial.waiting}"


def _epoch(detail: TrialDetail) -> str:
    """The epoch that is under way, or the stage of a trial that does not train."""
    if detail.stage in _STAGES:
        return detail.stage.lower()
    ended = detail.epochs[-1].epoch if detail.epochs else 0
    if detail.planned_epochs is None:
        return f"epoch {ended + 1}" if ended else ""
    return f"epoch {min(ended + 1, detail.planned_epochs)} of {detail.planned_epochs}"


def _left_out(step: StepRun, snapshot: Snapshot) -> str:
    """`12 photos left out: truncated 9, no label 3`."""
    reasons = [each for each in snapshot.left_out if each.step == step.name]
    if not reasons:
        return ""
    named = ", ".join(f"{each.reason} {each.photos:,}" for each in reasons[:_REASONS])
    more = ", ..." if len(reasons) > _REASONS else ""
    return f"{count_of(sum(each.photos for each in reasons), 'photo')} left out: {named}{more}"


def metric_name(metric: str) -> str:
    """`best accuracy` for `validation:best_accuracy`."""
    return metric.rsplit(":", 1)[-1].replace("_", " ")


def hyperparameters(values: Mapping[str, str]) -> str:
    """`learning-rate 0.00123, optimizer sgd`."""
    return ", ".join(f"{name} {_short_number(value)}" for name, value in sorted(values.items()))


def decision(step: StepRun) -> str:
    """The decision of the deploy function in a run's step; empty for another step."""
    parameters = step.metadata.get("Lambda", {}).get("OutputParameters", [])
    outputs = {parameter["Name"]: parameter["Value"] for parameter in parameters}
    return str(outputs.get("decision", ""))


def run_id(arn: str) -> str:
    """The id of a run at the end of its ARN."""
    return arn.rsplit("/", 1)[-1]


def _cached(step: StepRun) -> str:
    source = f"{'copied from' if step.copied else 'from the cache of'} run {run_id(step.cached_from)}"
    return source if step.saving is None else f"{source}; saved {saving_text(step.saving)}"


def _short_number(value: str) -> str:
    try:
        return f"{float(value):.3g}"
    except ValueError:
        return value.strip('"')
