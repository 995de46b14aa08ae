"""The first page: the newest run, what waits for a decision, what serves, and what goes on costing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from pipeline.console.console import Console, View
from pipeline.console.pages import inbox, model_reads, reads
from pipeline.console.pages.model_reads import HOUR
from pipeline.console.pages.run import drawing
from pipeline.console.parts import Part, parts
from pipeline.console.readings import FOREVER
from pipeline.console.routes import Routes, Values
from pipeline.operations import links
from pipeline.operations.cost.standing import Standing, of_serving
from pipeline.operations.cost.words import standing_lines
from pipeline.operations.models.registry import Version
from pipeline.operations.runs import schedules
from pipeline.operations.runs.executions import Execution
from pipeline.operations.runs.progress import Progress
from pipeline.operations.runs.schedules import Schedule
from pipeline.operations.serving.endpoint import Endpoint

RUNS_SHOWN, VERSIONS_SHOWN = 5, 5
# Schedules are changed rarely, and each is asked for by itself: one without an end stays due.
SCHEDULES_SECONDS = 600.0
PENDING = "PendingManualApproval"


def overview(console: Console, values: Values) -> View:  # noqa: ARG001  # a page
    """What a person looks for first. A part that these credentials may not read has the reason in its place."""
    read = parts(
        console,
        {
            "runs": lambda: _runs(console),
            "waiting": lambda: _waiting(console),
            "serving": lambda: model_reads.serving(console),
            "alarms": lambda: model_reads.alarms(console),
            "schedules": lambda: _schedules(console),
            "alerts": lambda: inbox.new(console),
        },
    )
    # The reading of the alarms is a part itself, which is kept with its reason.
    read["alarms"] = read["alarms"].value
    runs, newest = read["runs"].value or ((), None)
    busy = any(not run.ended for run in runs)
    return View(
        "overview.html",
        {
            "problems": {name: part.problem for name, part in read.items()},
            "runs": runs,
            "failed": _failed(runs),
            "newest": newest,
            "drawing": drawing(reads.reader_of(console, newest.execution.arn), newest, console) if newest else "",
            "waiting": read["waiting"].value,
            "serving": read["serving"].value,
            "away": links.of_endpoint(console.settings) if read["serving"].value else (),
            "alarms": [alarm for alarm in read["alarms"].value or () if alarm.state == "ALARM"],
            "costs": _costs(console, runs, read),
            "alerts": read["alerts"].value,
        },
        reads.BUSY if busy else model_reads.refresh(console, read["serving"].value),
    )


def _runs(console: Console) -> tuple[Sequence[Execution], Progress | None]:
    runs = reads.newest_runs(console, RUNS_SHOWN)
    return runs, reads.progress_of_listed(console, runs[0]) if runs else None


def _waiting(console: Console) -> list[Version]:
    """The newest versions that wait for an approval."""
    return model_reads.described(console, model_reads.summaries(console, VERSIONS_SHOWN, PENDING))


def _schedules(console: Console) -> tuple[str, ...]:
    settings = console.settings

    def described(summary: Mapping[str, Any]) -> Schedule:
        return console.readings.get(
            ("schedule", summary["Arn"], summary["LastModificationDate"]),
            lambda: schedules.described(settings, summary),
            lambda schedule: HOUR if schedule.end or schedule.expression.startswith("at(") else FOREVER,
        )

    def due() -> tuple[str, ...]:
        return tuple(each.name for each in map(described, schedules.summaries(settings)) if each.is_due)

    return console.readings.get("schedules", due, SCHEDULES_SECONDS)


def _costs(console: Console, runs: Sequence[Execution], read: dict[str, Part]) -> list[str]:
    serving: Endpoint | None = read["serving"].value
    costs = Standing(
        endpoint=serving,
        hourly=None if serving is None else of_serving(serving, model_reads.prices(console)),
        runs=tuple(run.id for run in runs if not run.ended),
        schedules=read["schedules"].value or (),
        problems=tuple(
            f"{what} not looked up: {read[name].problem}"
            for name, what in (("serving", "the endpoint was"), ("runs", "runs were"), ("schedules", "schedules were"))
            if read[name].problem
        ),
    )
    return standing_lines(costs, console.command, local=console.is_local)


def _failed(runs: Sequence[Execution]) -> list[Execution]:
    """The runs that failed since the last that succeeded."""
    return [run for run in takewhile(lambda run: run.status != "Succeeded", runs) if run.status == "Failed"]


ROUTES = Routes({"/": overview})
