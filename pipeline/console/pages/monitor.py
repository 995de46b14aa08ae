"""Drift: the windows that the monitor has compared, each comparison, its log, and a comparison on demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from starlette.responses import Response

from pipeline.console import drift_charts
from pipeline.console.console import Console, NotFoundError, View
from pipeline.console.pages import model_reads, reads
from pipeline.console.pages.failures import is_complete, lasting
from pipeline.console.pages.model_reads import MINUTE, SOON
from pipeline.console.pages.reports import sandboxed
from pipeline.console.parts import Part, part, parts
from pipeline.console.readings import FOREVER
from pipeline.console.routes import Routes, Values
from pipeline.operations.cost import before
from pipeline.operations.cost.money import Bill, Range
from pipeline.operations.runs import tails
from pipeline.operations.runs.schedules import Schedule
from pipeline.operations.runs.tails import Excerpt, LogPage
from pipeline.operations.serving import monitor_jobs, monitoring
from pipeline.operations.serving.monitor_jobs import Job
from pipeline.parallel import parallel_map
from pipeline.settings import Settings
from steps.contracts.drift import FIGURES, Drift
from steps.contracts.errors import PipelineError

# Windows of the list and of the charts.
SHOWN = 30
SCHEDULE_SECONDS = 600.0
# Lines of the log on a job's page.
LINES = 200
# docs/monitoring.md has the same table.
_CAUSES: tuple[tuple[frozenset[str], str], ...] = (
    (
        frozenset({"brightness", "sharpness"}),
        "Brightness or sharpness: look at the camera, its lamp and its lens.",
    ),
    (frozenset({"pixels", "bytes"}), "Size: somebody takes or sends the photos in another way than before."),
    (
        frozenset({"predicted"}),
        "Predicted count: other bins, or a worse model. Label some photos of the window; if the bins are others, start"
        " a run on newer data.",
    ),
)
_CONFIDENCE = (
    "Confidence or sure counts alone: objects that are new to the model. Label photos with them, and start a run."
)


@dataclass(frozen=True)
class Window:
    """A job with what it found: `drift` is None while it goes on, and where `problem` is why there is no result."""

    job: Job
    drift: Drift | None = None
    problem: str = ""


def monitor(console: Console, values: Values) -> View:  # noqa: ARG001  # a page
    """All windows, newest first, with the comparison of the newest one."""
    read = parts(console, {"windows": lambda: _windows(console), "schedule": lambda: _schedule(console)})
    windows: Sequence[Window] = read["windows"].value or ()
    schedule: tuple[Schedule, bool] | None = read["schedule"].value
    drifts = [window.drift for window in windows if window.drift]
    return View(
        "monitor.html",
        {
            "problems": {name: each.problem for name, each in read.items()},
            "windows": windows,
            "newest": next((window for window in windows if window.drift), None),
            "distances": list(drift_charts.distances(drifts)),
            "tails": list(drift_charts.tails(drifts)),
            "sure_shares": list(drift_charts.sure_shares(drifts)),
            "true_counts": list(drift_charts.true_counts(drifts)),
            **_compared(drifts[0] if drifts else None),
            "schedule": schedule[0] if schedule else None,
            "retrains": schedule is not None and schedule[1],
            "no_captures": monitoring.no_captures(console.settings),
        },
        _refresh([window.job for window in windows]),
    )


def job(console: Console, values: Values) -> View:
    """A job: what it compared, what it found, and its log."""
    chosen = _job(console, values["job"])
    window = _window(console, chosen)
    log = part(console, lambda: _log(console, chosen))
    return View(
        "monitor_job.html",
        {
            "window": window,
            **_compared(window.drift),
            "log": log,
            "captures": console.settings.captures_uri,
        },
        0.0 if is_complete(chosen.ended) else reads.IDLE if chosen.has_ended else SOON,
    )


def _compared(drift: Drift | None) -> dict[str, object]:
    """What the parts of a comparison show."""
    return {
        "drift": drift,
        "reasons": [reason for feature in drift.features for reason in feature.reasons()] if drift else [],
        "remedies": _remedies(drift) if drift else [],
        "shortfalls": drift.truth.shortfalls() if drift and drift.truth else [],
        "headings": FIGURES,
        "distributions": drift_charts.distributions(drift) if drift else [],
    }


def _remedies(drift: Drift) -> list[str]:
    drifted = set(drift.drifted)
    if drifted and drifted <= {"confidence", "sure"}:
        return [_CONFIDENCE]
    return [text for features, text in _CAUSES if features & drifted]


def _refresh(jobs: Sequence[Job]) -> float:
    return reads.IDLE if all(each.has_ended for each in jobs) else SOON


def _jobs(console: Console) -> list[Job]:
    return console.readings.get(
        "jobs of the monitor",
        lambda: monitor_jobs.jobs(console.settings, SHOWN),
        lambda jobs: MINUTE if all(each.has_ended for each in jobs) else SOON - 1,
    )


def _windows(console: Console) -> list[Window]:
    return parallel_map(lambda each: _window(console, each), _jobs(console))


def _window(console: Console, job: Job) -> Window:
    """A job with its result, which never changes."""
    if not job.is_readable:
        return Window(job)
    read: Part = console.readings.get(
        ("drift", job.name),
        lambda: part(console, lambda: monitor_jobs.result(console.settings, job.name)),
        lambda result: model_reads.lasting(result, FOREVER),
    )
    return Window(job, read.value, read.problem)


def _job(console: Console, name: str) -> Job:
    """The job of a path. Raises NotFoundError where there is none."""
    existing = console.readings.get(
        ("monitor's job", name),
        lambda: monitor_jobs.find(console.settings, name),
        lambda job: FOREVER if job and job.has_ended else SOON - 1,
    )
    if existing is None:
        raise NotFoundError(
            f"The monitor of {console.settings.name} has no job {name}; its jobs are on the page Drift."
        )
    return existing


def _schedule(console: Console) -> tuple[Schedule, bool] | None:
    return console.readings.get(
        "schedule of the monitor", lambda: monitoring.find_schedule(console.settings), SCHEDULE_SECONDS
    )


def _log(console: Console, job: Job) -> LogPage:
    wanted = Excerpt(monitor_jobs.log_source(job.name), job.created - timedelta(minutes=2))
    return console.readings.get(
        ("log of the monitor", job.name),
        lambda: tails.page(console.settings, wanted, lines=LINES),
        lasting(job.ended),
    )


def report(console: Console, values: Values) -> Response:
    """The report of a job, as the job has written it."""
    chosen = _job(console, values["job"])
    if not chosen.is_readable:
        raise NotFoundError(f"The job {chosen.name} has no report: {chosen.status}.")
    try:
        return sandboxed(monitor_jobs.report(console.settings, chosen.name))
    except PipelineError as error:
        raise NotFoundError(console.pasted(str(error))) from error


@dataclass(frozen=True)
class Wanted:
    """A comparison that was asked for: the hours of its window, and whether a drift starts a run."""

    hours: int
    retrain: bool


def check(console: Console, values: Values) -> View:
    """What a comparison will do and cost, with the form that starts it."""
    wanted = _wanted(console, values)
    settings = monitoring.of_last_hours(console.settings, wanted.hours)
    listed = part(console, lambda: _jobs(console))
    return View(
        "monitor_start.html",
        {
            "wanted": wanted,
            "no_captures": monitoring.no_captures(settings),
            "monitoring": settings.monitoring,
            "captures": settings.captures_uri,
            "usual": _usual(console, settings, listed.value or ()),
            "most": _bill(console, settings, monitoring.RUN_SECONDS),
            "longest": monitoring.RUN_SECONDS,
            "under_way": next((each for each in listed.value or () if not each.has_ended), None),
        },
    )


def _usual(console: Console, settings: Settings, jobs: Sequence[Job]) -> tuple[float, Bill] | None:
    """The time of the last completed job, in seconds, and what it costs; None before the first."""
    last = next((each for each in jobs if each.is_readable and each.ended), None)
    if last is None or last.ended is None:
        return None
    seconds = (last.ended - last.created).total_seconds()
    return seconds, _bill(console, settings, seconds)


def _bill(console: Console, settings: Settings, seconds: float) -> Bill:
    return before.of_monitor(settings, model_reads.prices(console), Range.of(Decimal(round(seconds))))


def _wanted(console: Console, values: Values) -> Wanted:
    text = values.get("hours", "").strip() or str(console.settings.monitoring.hours)
    if not (text.isascii() and text.isdecimal() and len(text) < 6):
        raise PipelineError(f"a window has a number of hours, and not {text[:20]!r}")
    return Wanted(int(text), values.get("retrain") == "yes")


def start(console: Console, values: Values) -> str:
    """Start the comparison that was confirmed."""
    wanted = _wanted(console, values)
    settings = monitoring.of_last_hours(console.settings, wanted.hours)
    return f"/monitor/{monitoring.start(settings, retrain=wanted.retrain).job}"


ROUTES = Routes(
    {"/monitor": monitor, "/monitor/start": check, "/monitor/{job}": job},
    actions={"/monitor/start": start},
    downloads={"/monitor/{job}/report": report},
)
