"""Command: monitor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.app import RELEASE, app, options_of
from pipeline.cli.output import AsJson, complain, goes_on, show, status, write_json
from steps.contracts.wording import count_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from pipeline.operations.serving.monitoring import MonitorJob
    from steps.contracts.drift import Truth

# Exit status for a drift, which is not a failure of the command.
DRIFTED = 3
_STYLES = {"ok": "green", "drift": "bold red", "too-few": "yellow"}


@app.command(rich_help_panel=RELEASE)
def monitor(
    context: typer.Context,
    *,
    every: Annotated[
        str,
        typer.Option(
            metavar="EXPRESSION",
            help="Create a schedule instead: 'rate(1 day)', 'cron(0 3 * * ? *)'.",
        ),
    ] = "",
    timezone: Annotated[str, typer.Option(metavar="ZONE", help="Time zone of --every.")] = "UTC",
    hours: Annotated[
        int | None,
        typer.Option(min=1, max=24 * 31, help="Length of the window. Default: monitoring.hours.", show_default=False),
    ] = None,
    retrain: Annotated[bool, typer.Option("--retrain", help="Start a run if there is a drift.")] = False,
    job: Annotated[str, typer.Option(metavar="JOB", help="Show the result of an earlier job instead.")] = "",
    last: Annotated[bool, typer.Option("--last", help="Show the result of the newest completed job instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the latest photos of the endpoint with the test split of its model, and earlier ones with true counts.

    Exit status 3 if there is a drift, or a figure by true counts is below its minimum.
    """
    from pipeline.operations.serving import monitor_jobs, monitoring

    options = options_of(context)
    settings = options.connected() if job or last else options.prepared()
    if job or last:
        _show(monitoring.describe(settings, job or monitor_jobs.last(settings)), as_json=as_json)
        return
    if hours is not None:
        settings = monitoring.of_last_hours(settings, hours)
    if every:
        done = monitoring.schedule(settings, every, timezone=timezone, retrain=retrain)
        if as_json:
            write_json(done)
            return
        typer.echo(f"{done.change}: {done.schedule.arn}")
        typer.echo(f"to delete it: {options.command()} unschedule {done.schedule.name}")
        return
    started = monitoring.start(settings, retrain=retrain)
    hint = f"to stop it: aws sagemaker stop-processing-job --processing-job-name {started.job}"
    waiting = status(f"comparing the photos of the last {settings.monitoring.hours} hours")
    with goes_on(f"the job {started.job}", f"its report: {started.output}/report.html", hint), waiting:
        watch = monitoring.wait(settings, started)
    _show(watch, as_json=as_json)


def _show(watch: MonitorJob, *, as_json: bool) -> None:
    """Print a job's result. Raises typer.Exit for a drift, a figure below its minimum, and a job without a result."""
    if as_json:
        write_json(watch)
    elif watch.drift:
        show(*_view(watch))
    if watch.status != "Completed":
        complain(f"job {watch.job}: {watch.status}: {watch.failure}")
        raise typer.Exit(1)
    truth = _truth(watch.drift)
    if watch.drift["verdict"] == "drift" or (truth and truth.shortfalls()):
        raise typer.Exit(DRIFTED)


def _view(watch: MonitorJob) -> Iterator[RenderableType]:
    from rich.text import Text

    from steps.contracts.drift import percent

    drift = watch.drift
    verdict = Text(drift["verdict"], style=_STYLES[drift["verdict"]])
    photos = (
        f"  {count_of(drift['photos'], 'photo')} of version {drift['model_version']}, {drift['compared']:,} compared"
    )
    yield Text.assemble(verdict, photos)
    if drift["features"]:
        yield _features(drift["features"])
        furthest = max(drift["features"], key=lambda feature: feature["psi"])
        yield f"furthest from the baseline: {furthest['name']}, PSI {furthest['psi']:.3f}"
        yield Text(
            "low, high: share of photos beyond the baseline's 1st and 99th percentile; its own are 1% each", "dim"
        )
    elif drift["verdict"] == "too-few":
        minimum = f"{drift['minimum_photos']:,}"
        yield f"{minimum} photos at least are needed, and in the baseline, which has {drift['baseline_photos']:,}"
    for reason, number in drift["refused"].items():
        yield Text(f"{count_of(number, 'capture')} not used: {reason}", style="dim")
    if drift.get("sure_share") is not None:
        yield f"sure counts, which need no person: {percent(drift['sure_share'])} of the photos"
    if truth := _truth(drift):
        yield from _true_counts(truth)
    yield f"report: {watch.output}/report.html"


def _truth(drift: dict[str, Any]) -> Truth | None:
    """The comparison with true counts; None without, and in the results of earlier monitors."""
    from steps.contracts.drift import Truth

    return Truth.model_validate(drift["truth"]) if drift.get("truth") else None


def _true_counts(truth: Truth) -> Iterator[RenderableType]:
    from rich.text import Text

    from pipeline.cli.tables import Column, Table
    from pipeline.texts import minute
    from steps.contracts.drift import FIGURES

    span = f"{minute(truth.since)} to {minute(truth.until)}"
    yield f"true counts of {truth.photos:,} of {count_of(truth.answered, 'photo')}, {span}"
    if truth.photos:
        first, *others = FIGURES
        table = Table(first, *(Column(heading, "number", 0) for heading in others))
        for row in truth.figures():
            table.add_row(*row)
        yield table
    for shortfall in truth.shortfalls():
        yield Text(shortfall, style="red")
    if truth.photos < truth.minimum_photos:
        yield Text(f"with fewer than {truth.minimum_photos:,}, no metrics are written, and no minimum applies", "dim")
    for reason in truth.unmatched():
        yield Text(f"not compared with a true count: {reason}", style="dim")


def _features(features: list[dict[str, Any]]) -> RenderableType:
    """A row for the window and one for the baseline per feature."""
    from rich.text import Text

    from pipeline.cli.tables import Column, Table

    headings = ("mean", "smallest", "largest", "low", "high", "PSI")
    table = Table(
        "feature", *(Column(heading, "number", 2) for heading in headings), Column("p-value", "number", 0), ""
    )
    for feature in features:
        values = {
            place: [_number(feature[f"{place}_{value}"]) for value in ("mean", "smallest", "largest")]
            for place in ("window", "baseline")
        }
        tails = [
            Text("-" if end is None else f"{end['share']:.1%}", "red" if end and end["drifted"] else "")
            for end in (feature["low"], feature["high"])
        ]
        drifted = Text("drifted", style="red") if feature["drifted"] else Text("")
        table.add_row(feature["name"], *values["window"], *tails, f"{feature['psi']:.3f}", drifted)
        table.add_row("  baseline", *values["baseline"], style="dim")
    return table


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
