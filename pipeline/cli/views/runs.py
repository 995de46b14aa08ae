"""Views of runs and their steps: a live table in a terminal, one line per change in a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from pipeline.cli.tables import Column, Table
from pipeline.cli.views.cells import duration, moment, reason, shortened, status_text, time_text
from pipeline.operations.caching import savings
from pipeline.operations.caching.reuse import Expectation, Outcome
from pipeline.operations.caching.savings import Total
from pipeline.operations.models.registrations import Registration
from pipeline.operations.runs.executions import Execution
from pipeline.operations.runs.progress import Progress, Saving, StepRun, TrialJob

# Words for the outcome of a condition, true and false; the other conditions are passed or not.
_OUTCOMES = {"NewVersion": ("yes", "no")}
# What a step runs that writes a log.
_LOGGING = ("ProcessingJob", "TrainingJob", "TuningJob", "Lambda")
# The deploy function's decision about a version that nobody has approved.
_AWAITING = "awaiting-approval"
_CENT = Decimal("0.01")


def follow_run(progresses: Iterable[Progress], console: Console) -> Progress:
    """Show a run until it ends: a live table in a terminal, else one line per change. Returns its last state."""
    last = _live(progresses, console) if console.is_terminal else _plain(progresses, console)
    if last is None:
        raise ValueError("a run has at least one state")
    return last


def _live(progresses: Iterable[Progress], console: Console) -> Progress | None:
    last: Progress | None = None
    with Live(
        console=console, get_renderable=lambda: "" if last is None else progress_table(last), refresh_per_second=4
    ):
        for last in progresses:  # noqa: B007  # the live display reads it
            pass
    return last


def _plain(progresses: Iterable[Progress], console: Console) -> Progress | None:
    last: Progress | None = None
    for now in progresses:
        for time, line in _changes(last, now):
            text = f"{time.astimezone():%H:%M:%S} {line}"
            console.print(text, markup=False, highlight=False, soft_wrap=True)
        last = now
    return last


def progress_table(progress: Progress) -> RenderableType:
    """The run's steps, and below the step of the tuning job its trials."""
    run = progress.execution
    table = Table("step", "status", Column("time", "time"), "")
    for step in progress.steps:
        time = "" if step.cached else duration(step.started, step.ended)
        table.add_row(step.name, status_text(step.status), time, _note(step))
        if "TuningJob" in step.metadata:
            for number, trial in enumerate(progress.trials, 1):
                row = (status_text(trial.status), duration(trial.started, trial.ended), _trial_note(trial))
                table.add_row(f"  trial {number}", *row)
    heading = Text.assemble(
        "run ", (run.id, "bold"), "  ", status_text(run.status), "  ", duration(run.started, _end(progress))
    )
    return Group(heading, table)


def logs_table(progress: Progress, others: Iterable[str], command: str) -> Table:
    """The command that prints each log of a run: those of its steps, and the `others`, which belong to no run."""
    run = progress.execution.id
    table = Table("log", "status", Column("command", priority=2))
    for step in progress.steps:
        if step.cached:
            source = f"--run {_id(step.cached_from)}"
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


def _note(step: StepRun) -> Text:
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


def _cached(step: StepRun) -> str:
    source = f"{'copied from' if step.copied else 'from the cache of'} run {_id(step.cached_from)}"
    return source if step.saving is None else f"{source}; saved {saving_text(step.saving)}"


def _id(arn: str) -> str:
    return arn.rsplit("/", 1)[-1]


def _trial_note(trial: TrialJob) -> Text:
    parts = []
    if trial.objective is not None:
        parts.append(f"{trial.metric.rsplit(':', 1)[-1].replace('_', ' ')} {trial.objective:.3f}")
    parts += [f"{name} {_short_number(value)}" for name, value in sorted(trial.hyperparameters.items())]
    if trial.failure:
        return reason(trial.failure)
    if trial.waiting:
        return Text(f"waiting: {trial.waiting}", style="yellow")
    return Text(", ".join(parts), style="dim" if trial.objective is None else "")


def _short_number(value: str) -> str:
    try:
        return f"{float(value):.3g}"
    except ValueError:
        return value.strip('"')


def _changes(before: Progress | None, now: Progress) -> list[tuple[datetime, str]]:
    """A line for each change since `before`, with its time, in the order of time."""
    run = now.execution
    changes = [(run.started, f"run {run.id}")] if before is None else []
    old_steps = {step.name: step.status for step in before.steps} if before else {}
    old_trials = {trial.name: trial.status for trial in before.trials} if before else {}
    for step in now.steps:
        if step.status not in ("Waiting", old_steps.get(step.name)):
            time = step.ended or _begun(step.status, step.started or run.started)
            note = _note(step).plain
            took = "" if step.cached else _took(step.started, step.ended)
            changes.append((time, _line(step.name, step.status, took, note)))
    for number, trial in enumerate(now.trials, 1):
        if trial.status != old_trials.get(trial.name):
            time = trial.ended or _begun(trial.status, trial.started or trial.created)
            took = _took(trial.started, trial.ended)
            changes.append((time, _line(f"trial {number}", trial.status, took, _trial_note(trial).plain)))
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


def decision(step: StepRun) -> str:
    """The decision of the deploy function in a run's step; empty for another step."""
    parameters = step.metadata.get("Lambda", {}).get("OutputParameters", [])
    outputs = {parameter["Name"]: parameter["Value"] for parameter in parameters}
    return str(outputs.get("decision", ""))


# ------------------------------------------------------------------------------------ what comes from the cache


def dollars(usd: Decimal) -> str:
    """`$12.34`, or `< $0.01` for a smaller amount above zero."""
    return f"${usd:,.2f}" if usd >= _CENT or not usd else f"< ${_CENT}"


def saving_text(saving: Saving) -> str:
    """`$0.12, 3 min 05 s`; the time alone where the amount is zero or unknown."""
    return f"{dollars(saving.usd)}, {time_text(saving.seconds)}" if saving.usd else time_text(saving.seconds)


def total_text(total: Total, *, local: bool) -> str:
    """`about $12.34 and 3 h 10 min`; for a run in the local cloud the amount is what AWS would have billed."""
    if not total.usd:
        return f"about {time_text(total.seconds)}"
    about = "" if total.usd < _CENT else "about " if total.complete else "at least "
    where = " (at AWS's prices)" if local else ""
    return f"{about}{dollars(total.usd)}{where} and {time_text(total.seconds)}"


def forecast_table(expectations: Iterable[Expectation]) -> Table:
    """What is expected for each step of a run that is about to start, why, and what that saves."""
    table = Table("step", "expected", Column("why", priority=0), Column("saves", "time"))
    for expectation in expectations:
        saves = "" if expectation.saving is None else saving_text(expectation.saving)
        expected = {
            Outcome.CACHED: Text(f"from run {_id(expectation.source)}", style="green"),
            Outcome.UNSURE: Text("possibly cached", style="yellow"),
            Outcome.RUNS: Text("runs"),
        }[expectation.outcome]
        if expectation.outcome == Outcome.UNSURE:
            saving = Text(f"({saves})" if saves else "", style="dim")
        else:
            saving = Text(saves)
        table.add_row(expectation.step, expected, expectation.why, saving)
    return table


def forecast_lines(expectations: Iterable[Expectation], *, local: bool) -> list[str]:
    """The steps that come from the cache, and the sum of what they save."""
    each = list(expectations)
    lines = []
    for outcome, heading in ((Outcome.CACHED, "from the cache"), (Outcome.UNSURE, "possibly from the cache")):
        steps = {expected.step: expected.saving for expected in each if expected.outcome == outcome}
        if steps:
            lines.append(_sum_line(heading, "saves", steps, local=local))
    return lines or ["from the cache: nothing"]


def saved_lines(progress: Progress, *, local: bool) -> list[str]:
    """The steps of a run that came from the cache, and the sum of what that saved; no line where there are none."""
    cached = {step.name: step.saving for step in progress.steps if step.cached}
    return [_sum_line("from the cache", "saved", cached, local=local)] if cached else []


def _sum_line(heading: str, verb: str, steps: Mapping[str, Saving | None], *, local: bool) -> str:
    names = f"{heading}: {', '.join(steps)}"
    if not any(steps.values()):
        return names
    return f"{names}; {verb} {total_text(savings.total(steps.values()), local=local)}"


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
