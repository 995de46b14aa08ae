"""The list of runs, in pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pipeline.aws.arns import name_of
from pipeline.console.console import Console, View
from pipeline.console.pages import reads
from pipeline.console.readings import FOREVER
from pipeline.console.routes import Routes, Values
from pipeline.operations.models import registrations
from pipeline.operations.runs import executions
from pipeline.operations.runs.executions import Execution, RunsPage
from pipeline.operations.runs.progress import StepRun
from pipeline.parallel import parallel_map


@dataclass(frozen=True)
class Row:
    """A run, the numbers of its steps and of those from the cache, and the version that it registered, or that it is.

    `version` is empty without one; `is_new` is whether the run registered it. `ended` is when its last step ended.
    """

    run: Execution
    steps: int = 0
    cached: int = 0
    version: str = ""
    is_new: bool = True
    ended: datetime | None = None


def runs(console: Console, values: Values) -> View:
    """The newest runs, or the page of older ones that `older` leads to."""
    token = values.get("older", "")
    page = _page(console, token)
    rows = parallel_map(lambda run: _row(console, run), page.runs)
    busy = any(not run.ended for run in page.runs)
    shown = {"rows": rows, "older": page.older, "is_first": not token}
    return View("runs.html", shown, reads.BUSY if busy else reads.IDLE)


def _page(console: Console, token: str) -> RunsPage:
    return console.readings.get(
        ("runs", "page", token),
        lambda: executions.page(console.settings, reads.RUNS_SHOWN, token),
        lambda page: reads.BUSY - 1 if any(not run.ended for run in page.runs) else reads.IDLE - 1,
    )


def _row(console: Console, run: Execution) -> Row:
    steps = reads.steps_of(console, run)
    cached = sum(step.cached for step in steps)
    version, is_new = _version(console, run, steps)
    ended = max((step.ended for step in steps if step.ended), default=run.started) if run.ended else None
    return Row(run, len(steps), cached, version, is_new, ended)


def _version(console: Console, run: Execution, steps: list[StepRun]) -> tuple[str, bool]:
    """The version that the run registered, or the one that its model is already; empty for none."""
    registered = next((arn for step in steps if (arn := step.arn("RegisterModel"))), None)
    if registered:
        return name_of(registered), True
    if run.status != "Succeeded":
        return "", True
    registration = console.readings.get(
        ("registration", run.arn),
        lambda: registrations.of_run(console.settings, run),
        # A run that has succeeded without one gets none later.
        lambda read: reads.LONG_AGO if read and read.problem else FOREVER,
    )
    same = registration.version if registration and registration.withheld else None
    return ("", True) if same is None else (str(same), False)


ROUTES = Routes({"/runs": runs})
