"""How runs, steps and models look in a terminal; in a file or a pipe, the same as plain lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pipeline.operations.caching import savings
from pipeline.operations.caching.reuse import Expectation, Outcome
from pipeline.operations.caching.savings import Total
from pipeline.operations.models.registrations import Registration
from pipeline.operations.runs.progress import Progress, Saving, StepRun, TrialJob
from pipeline.operations.serving.predictions import Prediction

_STYLES = {
    "Succeeded": "green",
    "Completed": "green",
    "Approved": "green",
    "InService": "green",
    "Failed": "bold red",
    "Rejected": "red",
    "Executing": "cyan",
    "InProgress": "cyan",
    "Starting": "cyan",
    "Creating": "cyan",
    "Updating": "cyan",
    "Stopping": "yellow",
    "Stopped": "yellow",
    "PendingManualApproval": "yellow",
    "Pending": "yellow",
    "Waiting": "dim",
}
# What a condition's outcome says, true and false; of every other that the run is let through, or is not.
_OUTCOMES = {"NewVersion": ("yes", "no")}
_REASON_SHOWN = 400
_CENT = Decimal("0.01")
# Characters between two columns of a table.
SPACE = 3


def status_text(status: str) -> Text:
    """A status in its colour."""
    return Text(status, style=_STYLES.get(status, ""))


def duration(started: datetime | None, ended: datetime | None) -> str:
    """`1 h 02 min`, `3 min 05 s` or `4.2 s` between two times; until now where it has not ended."""
    if started is None:
        return ""
    return time_text(max(((ended or datetime.now(UTC)) - started).total_seconds(), 0.0))


def time_text(seconds: float) -> str:
    """`1 h 02 min`, `3 min 05 s` or `4.2 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def moment(time: datetime) -> str:
    """A time in the reader's own time zone."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def simple_table(*headings: str) -> Table:
    """A table without a frame, as wide as its content."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, SPACE, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def follow_run(progresses: Iterable[Progress], console: Console) -> Progress:
    """Show a run until it ends: a live table in a terminal, else a line a change. Returns its last state."""
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
    """The run's steps, and below the tuner's step its trials."""
    run = progress.execution
    table = simple_table("step", "status", "time", "")
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
    outputs = {one["Name"]: one["Value"] for one in step.metadata.get("Lambda", {}).get("OutputParameters", [])}
    return Text(outputs.get("decision", ""), style="dim")


def _cached(step: StepRun) -> str:
    source = f"from the cache of run {_id(step.cached_from)}"
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
    return Text(", ".join(parts), style="dim" if trial.objective is None else "")


def _short_number(value: str) -> str:
    try:
        return f"{float(value):.3g}"
    except ValueError:
        return value.strip('"')


def reason(text: str) -> Text:
    """A reason in a table's last column: as much of it as there is room for."""
    return Text(shortened(text), style="red", no_wrap=True, overflow="ellipsis")


def same_version(version: int | None) -> Text:
    """Of a run that succeeded and registered nothing, in a table's last column."""
    return Text(f"is version {version} already", style="dim", no_wrap=True, overflow="ellipsis")


def shortened(text: str) -> str:
    """A reason as one line of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= _REASON_SHOWN else f"{line[: _REASON_SHOWN - 3]}..."


def _changes(before: Progress | None, now: Progress) -> list[tuple[datetime, str]]:
    """A line for each thing that is new in `now`, with when it happened, in the order of time."""
    run = now.execution
    changes = [(run.started, f"run {run.id}")] if before is None else []
    old_steps = {step.name: step.status for step in before.steps} if before else {}
    old_trials = {trial.name: trial.status for trial in before.trials} if before else {}
    for step in now.steps:
        if step.status not in ("Waiting", old_steps.get(step.name)):
            time = step.ended or step.started or run.started
            note = _note(step).plain
            took = "" if step.cached else _took(step.started, step.ended)
            changes.append((time, _line(step.name, step.status, took, note)))
    for number, trial in enumerate(now.trials, 1):
        if trial.status != old_trials.get(trial.name):
            time = trial.ended or trial.started or trial.created
            took = _took(trial.started, trial.ended)
            changes.append((time, _line(f"trial {number}", trial.status, took, _trial_note(trial).plain)))
    return sorted(changes, key=lambda change: change[0])


def _took(started: datetime | None, ended: datetime | None) -> str:
    return f" in {duration(started, ended)}" if started and ended else ""


def _line(name: str, status: str, took: str, note: str) -> str:
    return f"{name}: {status}{took}" + (f" ({note})" if note else "")


def outcome_lines(progress: Progress, command: str) -> list[str]:
    """How a run ended, in a line or two; `command` is what the reader types before a command's name."""
    run = progress.execution
    took = duration(run.started, _end(progress))
    if run.status == "Succeeded":
        return [f"Run {run.id} succeeded in {took}."]
    lines = [f"Run {run.id}: {run.status} after {took}."]
    failed = progress.failed
    if failed is not None:
        lines.append(f"{failed.name}: {shortened(failed.failure or run.failure or 'no reason is given')}")
        if any(failed.arn(kind) for kind in ("ProcessingJob", "TrainingJob", "TuningJob", "Lambda")):
            lines.append(f"Its log: {command} logs {failed.name} --run {run.id}")
    elif run.failure:
        lines.append(shortened(run.failure))
    return lines


# ------------------------------------------------------------------------------------ what comes from the cache


def dollars(usd: Decimal) -> str:
    """`$12.34`, or `< $0.01` for what is not nothing."""
    return f"${usd:,.2f}" if usd >= _CENT or not usd else f"< ${_CENT}"


def saving_text(saving: Saving) -> str:
    """`$0.12, 3 min 05 s`; the time alone where no amount is known, or none was billed."""
    return f"{dollars(saving.usd)}, {time_text(saving.seconds)}" if saving.usd else time_text(saving.seconds)


def total_text(total: Total, *, local: bool) -> str:
    """`about $12.34 and 3 h 10 min`; the local cloud bills nothing: amounts are what AWS would have asked."""
    if not total.usd:
        return f"about {time_text(total.seconds)}"
    about = "" if total.usd < _CENT else "about " if total.complete else "at least "
    where = " (at AWS's prices)" if local else ""
    return f"{about}{dollars(total.usd)}{where} and {time_text(total.seconds)}"


def forecast_table(expectations: Iterable[Expectation]) -> Table:
    """What is expected of each step of a run that is about to start, why, and what that saves."""
    table = simple_table("step", "expected", "why", "saves")
    for column in (0, 1, 3):
        table.columns[column].no_wrap = True
    for one in expectations:
        saves = "" if one.saving is None else saving_text(one.saving)
        shown = {
            Outcome.CACHED: Text(f"from run {_id(one.source)}", style="green"),
            Outcome.UNSURE: Text("unsure", style="yellow"),
            Outcome.RUNS: Text("runs"),
        }[one.outcome]
        if one.outcome == Outcome.UNSURE and saves:
            saves = f"({saves})"
        table.add_row(one.step, shown, one.why, Text(saves, style="dim" if one.outcome == Outcome.UNSURE else ""))
    return table


def forecast_lines(expectations: Iterable[Expectation], *, local: bool) -> list[str]:
    """Which steps come from the cache, and what all of them save."""
    each = list(expectations)
    lines = []
    for outcome, heading in ((Outcome.CACHED, "from the cache"), (Outcome.UNSURE, "perhaps from the cache")):
        steps = [one for one in each if one.outcome == outcome]
        if steps:
            lines.append(_sum_line(heading, "saves", {one.step: one.saving for one in steps}, local=local))
    return lines or ["from the cache: nothing"]


def saved_lines(progress: Progress, *, local: bool) -> list[str]:
    """Which steps of a run came from the cache, and what that saved; nothing where there are none."""
    cached = {step.name: step.saving for step in progress.steps if step.cached}
    return [_sum_line("from the cache", "saved", cached, local=local)] if cached else []


def _sum_line(heading: str, verb: str, steps: Mapping[str, Saving | None], *, local: bool) -> str:
    names = f"{heading}: {', '.join(steps)}"
    if not any(steps.values()):
        return names
    return f"{names}; {verb} {total_text(savings.total(steps.values()), local=local)}"


def registration_lines(registration: Registration | None, command: str) -> list[str]:
    """Of a run that succeeded and registered nothing: why, and what is next; else no line.

    `command` is what the reader types before a command's name.
    """
    if registration is None:
        return []
    if registration.problem:
        return [f"whether a version is this model already cannot be told: {registration.problem}"]
    if not registration.withheld:
        return []
    anyway = "registry.register_again, or RegisterAgain=yes for one run, registers anyway"
    lines = [f"nothing was registered: {registration.reason}; {anyway}"]
    if registration.status != "Approved":
        lines.append(f"next: {command} approve {registration.version}")
    return lines


# Characters of a photo's path or URI that a table shows whole.
LONGEST_SOURCE = 24


def predictions_table(predictions: Iterable[Prediction], truth: Mapping[str, int] | None = None) -> Table:
    """The counts that the endpoint answered, beside the true ones (by a photo's source) where they are known."""
    truth = truth or {}
    table = simple_table("photo", "count", *(["truth"] if truth else []), "confidence", "expected", "time")
    for one in predictions:
        known = []
        if truth:
            right = truth.get(one.source) == one.count
            known = [Text(str(truth.get(one.source, "-")), style="green" if right else "yellow")]
        confidence = f"{one.confidence:.0%}"
        # The name tells photos apart; a long prefix would break the line in the middle of it.
        name = one.source if len(one.source) <= LONGEST_SOURCE else f".../{one.source.rsplit('/', 1)[-1]}"
        table.add_row(name, str(one.count), *known, confidence, f"{one.expected:.2f}", f"{one.milliseconds:.0f} ms")
    return table
