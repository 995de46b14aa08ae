"""A step of a run: what its job was asked for, what it cost, and its log as it grows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.aws.arns import name_of
from pipeline.console.console import Console, NotFoundError, View
from pipeline.console.pages import reads
from pipeline.console.pages.failures import failure_of, is_complete, lasting
from pipeline.console.parts import Part, part, parts
from pipeline.console.readings import FOREVER
from pipeline.console.routes import Routes, Values
from pipeline.operations import links
from pipeline.operations.cost.money import Bill
from pipeline.operations.runs import details, logs, tails
from pipeline.operations.runs.details import JobDetails
from pipeline.operations.runs.progress import Progress, StepRun, TrialJob
from pipeline.operations.runs.tails import Excerpt, LogPage, Tail
from steps.contracts.wording import count_of

# Seconds between two searches of a log that grows: each reads it from its end.
_SEARCH_SECONDS = 10.0


@dataclass(frozen=True)
class LogView:
    """A part of a log, and what leads to others; `problem` is why there is none.

    `follows` is whether new lines will appear. `before` is the end of the part that was asked for, in milliseconds.
    """

    title: str = ""
    page: LogPage = field(default_factory=lambda: LogPage(()))
    search: str = ""
    host: int = 0
    before: str = ""
    is_first: bool = True
    follows: bool = False
    problem: str = ""

    @property
    def older(self) -> dict[str, str]:
        """The values of the address of older lines."""
        if not self.page.has_older or not (self.page.lines or self.page.older):
            return {}
        oldest = self.page.lines[0].time + timedelta(milliseconds=1) if self.page.lines else None
        before = self.before or (str(round(oldest.timestamp() * 1000)) if oldest and not self.page.older else "")
        return {"before": before, "token": self.page.older}


def step(console: Console, values: Values) -> View:
    """A step with its job and its log; a part that cannot be read has the reason."""
    progress = reads.progress_of(console, values["run"])
    chosen = next((each for each in progress.steps if each.name == values["step"]), None)
    if chosen is None:
        names = ", ".join(each.name for each in progress.steps)
        raise NotFoundError(f"The run {progress.execution.id} has no step {values['step']}; it has: {names}.")
    saved: Part = part(console, lambda: reads.with_savings(console, replace(progress, steps=(chosen,))).steps[0])
    shown_step: StepRun = saved.value or chosen
    trial = _trial(progress, shown_step, values)
    read = parts(
        console,
        {
            "job": lambda: _job(console, shown_step, trial),
            "bill": lambda: _bill(console, progress, shown_step),
            "log": lambda: _log(console, progress, shown_step, trial, values),
        },
    )
    log: LogView = read["log"].value or LogView(**_asked(values), problem=read["log"].problem)
    shown = {
        "problems": {
            "The job": read["job"].problem,
            "Its cost": read["bill"].problem,
            "What the cache saved": saved.problem,
        },
        "progress": progress,
        "run": progress.execution,
        "step": shown_step,
        "trial": trial,
        "trials": list(enumerate(progress.trials, 1)) if shown_step.arn("TuningJob") else [],
        "number": values.get("trial", "") if trial else "",
        "job": read["job"].value,
        "log": log,
        "away": links.of_step(console.settings, shown_step, trial.name if trial else ""),
        "bill": read["bill"].value,
        "defined": _defined(console, progress, shown_step),
        "failure": failure_of(console, progress, shown_step) if shown_step.status == "Failed" else None,
        "source": name_of(shown_step.cached_from) if shown_step.cached else "",
    }
    return View("step.html", shown, _refresh(progress, shown_step))


def _refresh(progress: Progress, step: StepRun) -> float:
    if step.ended is None and not progress.execution.ended:
        return reads.BUSY
    return 0.0 if step.ended is None or is_complete(step.ended) else reads.IDLE


def _trial(progress: Progress, step: StepRun, values: Values) -> TrialJob | None:
    """The trial that was asked for by its number, from 1. Raises NotFoundError where there is none."""
    given = values.get("trial", "")
    if not given or not step.arn("TuningJob"):
        return None
    if not given.isascii() or not given.isdecimal() or len(given) > 9 or not 1 <= int(given) <= len(progress.trials):
        started = count_of(len(progress.trials), "trial")
        raise NotFoundError(f"The run {progress.execution.id} has no trial {given[:20]}; it has {started}.")
    return progress.trials[int(given) - 1]


def _job(console: Console, step: StepRun, trial: TrialJob | None) -> JobDetails | None:
    name = trial.name if trial else ""

    def lasts(job: JobDetails | None) -> float:
        # What a job is asked for never changes; its state is the step's, which is read for itself.
        return FOREVER if job and job.has_ended else reads.BUSY * 5

    arns = tuple(sorted(str(part.get("Arn", "")) for part in step.metadata.values() if isinstance(part, Mapping)))
    key = ("job", step.name, arns, name, step.status)
    return console.readings.get(key, lambda: details.of_step(console.settings, step, name), lasts)


def _bill(console: Console, progress: Progress, step: StepRun) -> Bill | None:
    """The step's lines of the run's cost; None for a step that costs nothing of its own."""
    if step.cached or step.status == "Waiting":
        return None
    items = reads.cost_of(console, progress).bill.items
    own = tuple(item for item in items if item.part == step.name or item.part.startswith(f"{step.name}, "))
    return Bill(own) if own else None


def _defined(console: Console, progress: Progress, step: StepRun) -> str:
    """The step's arguments in the definition, as JSON; those of steps in branches of a condition are theirs."""
    definition = reads.reader_of(console, progress.execution.arn).definition
    arguments: dict[str, Any] = next(
        (each.get("Arguments", {}) for each in _all(definition["Steps"]) if each["Name"] == step.name), {}
    )
    own = {key: value for key, value in arguments.items() if key not in ("IfSteps", "ElseSteps")}
    return json.dumps(own, indent=2) if own else ""


def _all(steps: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for each in steps:
        yield each
        for branch in ("IfSteps", "ElseSteps"):
            yield from _all(each.get("Arguments", {}).get(branch, []))


def _log(console: Console, progress: Progress, step: StepRun, trial: TrialJob | None, values: Values) -> LogView:
    number = progress.trials.index(trial) + 1 if trial else None
    source = logs.step_source(progress, step.name, number)
    wanted = tails.excerpt(source, step, **_asked(values))
    token, before, search = values.get("token", ""), values.get("before", ""), wanted.search
    if until := _number(before):
        end = datetime.fromtimestamp(until / 1000, UTC)
        wanted = replace(wanted, until=max(end, wanted.since + timedelta(milliseconds=1)))
    is_first = not token and not until
    follows = is_first and not search and (step.ended is None and not progress.execution.ended)
    page = _end_of(console, wanted, step) if follows else _page(console, wanted, token, step)
    return LogView(source.title, page, search, wanted.host, before if until else "", is_first, follows)


def _asked(values: Values) -> dict[str, Any]:
    """The text and the number of the instance that a log is searched for."""
    return {"search": values.get("search", "")[:200], "host": _number(values.get("host"))}


def _end_of(console: Console, wanted: Excerpt, step: StepRun) -> LogPage:
    tail = console.readings.get(("tail", wanted), lambda: Tail(console.settings, wanted), FOREVER)
    return console.readings.get(("end of log", wanted), tail.read, lasting(step.ended))


def _page(console: Console, wanted: Excerpt, token: str, step: StepRun) -> LogPage:
    lasts = max(lasting(step.ended), _SEARCH_SECONDS) if wanted.search or token or wanted.until else lasting(step.ended)
    return console.readings.get(("log", wanted, token), lambda: tails.page(console.settings, wanted, token), lasts)


def _number(text: str | None) -> int:
    """A number above zero of an address; 0 for anything else."""
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 15 else 0


ROUTES = Routes({"/runs/{run}/steps/{step}": step})
