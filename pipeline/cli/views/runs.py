"""Views of runs and their steps: a live tree in a terminal, one line per change in a pipe, and how a run ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from rich.console import Console
from rich.text import Text

from pipeline.cli.tables import Column, Table
from pipeline.cli.views.cells import reason, status_text
from pipeline.cli.views.live import LiveTree, is_live
from pipeline.cli.views.notes import decision, run_id, step_note, trial_note
from pipeline.operations.models.registrations import Registration
from pipeline.operations.runs.executions import Execution
from pipeline.operations.runs.progress import Progress
from pipeline.operations.watching.snapshot import Snapshot
from pipeline.texts import duration, moment, shortened

# What a step runs that writes a log.
_LOGGING = ("ProcessingJob", "TrainingJob", "TuningJob", "Lambda")
# The deploy function's decision about a version that nobody has approved.
_AWAITING = "awaiting-approval"


def follow_run(snapshots: Iterable[Snapshot], console: Console) -> Progress:
    """Show a run until it ends, and return its last state: a live tree in a terminal, else one line per change."""
    last = _live(snapshots, console) if is_live(console) else _plain(snapshots, console)
    if last is None:
        raise ValueError("a run has at least one state")
    return last.progress


def _live(snapshots: Iterable[Snapshot], console: Console) -> Snapshot | None:
    last: Snapshot | None = None
    with LiveTree(console) as tree:
        for last in snapshots:
            tree.update_to(last)
    return last


def _plain(snapshots: Iterable[Snapshot], console: Console) -> Snapshot | None:
    last: Snapshot | None = None
    for now in snapshots:
        for time, line in _changes(last.progress if last else None, now.progress):
            text = f"{time.astimezone():%H:%M:%S} {line}"
            console.print(text, markup=False, highlight=False, soft_wrap=True)
        last = now
    return last


def logs_table(progress: Progress, others: Iterable[str], command: str) -> Table:
    """The command that prints each log of a run: those of its steps, and the `others`, which belong to no run."""
    run = progress.execution.id
    table = Table("log", "status", Column("command", priority=2))
    for step in progress.steps:
        if step.cached:
            source = f"--run {run_id(step.cached_from)}"
        elif any(step.arn(kind) for kind in _LOGGING):
            source = f"--run {run}"
        else:
            continue
        table.add_row(step.name, status_text(step.status), f"{command} logs {step.name} {source}")
    for name in others:
        table.add_row(name, "", f"{command} logs {name}")
    return table


def _end(progress: Progress) -> datetime | None:
    if not progress.execution.ended:
        return None
    ends = [step.ended for step in progress.steps if step.ended]
    return max(ends, default=progress.execution.changed)


def _changes(before: Progress | None, now: Progress) -> list[tuple[datetime, str]]:
    """A line for each change since `before`, with its time, in the order of time."""
    run = now.execution
    changes = [(run.started, f"run {run.id}")] if before is None else []
    old_steps = {step.name: step.status for step in before.steps} if before else {}
    old_trials = {trial.name: trial.status for trial in before.trials} if before else {}
    for step in now.steps:
        if step.status not in ("Waiting", old_steps.get(step.name)):
            time = step.ended or _begun(step.status, step.started or run.started)
            note = step_note(step).plain
            took = "" if step.cached else _took(step.started, step.ended)
            changes.append((time, _line(step.name, step.status, took, note)))
    for number, trial in enumerate(now.trials, 1):
        if trial.status != old_trials.get(trial.name):
            time = trial.ended or _begun(trial.status, trial.started or trial.created)
            took = _took(trial.started, trial.ended)
            changes.append((time, _line(f"trial {number}", trial.status, took, trial_note(trial).plain)))
    return sorted(changes, key=lambda change: change[0])


def _begun(status: str, started: datetime) -> datetime:
    """The time of a status without an end: SageMaker has none for the beginning of a stop, which is seen now."""
    return datetime.now(UTC) if status == "Stopping" else started


def _took(started: datetime | None, ended: datetime | None) -> str:
    return f" in {duration(started, ended)}" if started and ended else ""


def _line(name: str, status: str, took: str, note: str) -> str:
    return f"{name}: {status}{took}" + (f" ({note})" if note else "")


def outcome_lines(progress: Progress, command: str) -> list[str]:
    """How a run ended; `command` is the command line before a command's name."""
    run = progress.execution
    took = duration(run.started, _end(progress))
    if run.status == "Succeeded":
        return [f"Run {run.id} succeeded in {took}."]
    lines = [f"Run {run.id}: {run.status} after {took}."]
    failed = progress.failed
    if failed is not None:
        lines.append(f"{failed.name}: {shortened(failed.failure or run.failure or 'no reason was reported')}")
        if any(failed.arn(kind) for kind in _LOGGING):
            lines.append(f"Its log: {command} logs {failed.name} --run {run.id}")
    elif run.failure:
        lines.append(shortened(run.failure))
    return lines


def going_on(run: str, command: str) -> tuple[str, str, str]:
    """A run that goes on after its command was interrupted, and the commands that follow and stop it."""
    return f"the run {run}", f"to follow it: {command} watch {run}", f"to stop it: {command} stop {run}"


def next_lines(progress: Progress, command: str) -> list[str]:
    """The report of a run that was evaluated, and the next step where it registered a version."""
    run, lines = progress.execution, []
    steps = {step.name: step for step in progress.steps}
    evaluated, registered = steps.get("EvaluateModel"), steps.get("RegisterModel")
    if evaluated is not None and evaluated.status == "Succeeded":
        lines.append(f"its report: {command} report {run.id} --open")
    if version := registered.arn("RegisterModel") if registered else None:
        deployed = steps.get("DeployModel")
        # Without an approval the deploy function only answers that the version waits for one.
        waits = deployed is None or decision(deployed) in ("", _AWAITING)
        number = version.rsplit("/", 1)[-1]
        lines.append(f"next: {command} approve {number}" if waits else f"next: {command} endpoint")
    return lines


def registration_lines(registration: Registration | None, command: str) -> list[str]:
    """Why a run that succeeded registered nothing, and the next command; no line for a run that registered a version.

    `command` is the command line before a command's name.
    """
    if registration is None:
        return []
    if registration.problem:
        return [f"not checked whether this model is registered already: {registration.problem}"]
    if not registration.withheld:
        return []
    anyway = "to register it again: registry.register_again, or RegisterAgain=yes for one run"
    lines = [f"nothing was registered: {registration.reason}; {anyway}"]
    if registration.status != "Approved":
        lines.append(f"next: {command} approve {registration.version}")
    return lines


def runs_table(runs: Iterable[Execution], registrations: Mapping[str, Registration]) -> Table:
    """Runs, with the reason of a failure or the version that the model of a run is already."""
    table = Table("run", Column("started", "time"), "status", "name", Column("", priority=0))
    for run in runs:
        registration = registrations.get(run.id)
        if registration and registration.withheld:
            note = Text(f"is version {registration.version} already", style="dim")
        else:
            note = reason(run.failure)
        table.add_row(run.id, moment(run.started), status_text(run.status), run.given_name, note)
    return table
