"""Command: monitor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import RELEASE, app, options_of
from pipeline.cli.output import AsJson, complain, goes_on, show, status, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from pipeline.operations.serving.monitoring import MonitorJob

# Exit status for a drift, which is not a failure of the command.
DRIFTED = 3
_STYLES = {"ok": "green", "drift": "bold red", "too-few": "yellow"}


@app.command(rich_help_panel=RELEASE)
def monitor(
    context: typer.Context,
    every: Annotated[
        str,
        typer.Option(
            metavar="EXPRESSION",
            help="Create a schedule instead: 'rate(1 day)', 'cron(0 3 * * ? *)'.",
        ),
    ] = "",
    timezone: Annotated[str, typer.Option(metavar="ZONE", help="Time zone of --every.")] = "UTC",
    retrain: Annotated[bool, typer.Option("--retrain", help="Start a run if there is a drift.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the latest photos of the endpoint with the test split of its model. Exit status 3 if there is a drift."""
    from pipeline.operations.serving import monitoring

    options = options_of(context)
    settings = options.prepared()
    if every:
        done = monitoring.schedule(settings, every, timezone=timezone, retrain=retrain)
        if as_json:
            write_json(done)
            return
        typer.echo(f"{done.change}: {done.schedule.arn}")
        typer.echo(f"to delete it: {options.command()} unschedule {done.schedule.name}")
        return
    job = monitoring.start(settings, retrain=retrain)
    hint = f"to stop it: aws sagemaker stop-processing-job --processing-job-name {job.job}"
    waiting = status(f"comparing the photos of the last {settings.monitoring.hours} hours")
    with goes_on(f"the job {job.job}", f"its report: {job.output}/report.html", hint), waiting:
        watch = monitoring.wait(settings, job)
    if as_json:
        write_json(watch)
    elif watch.drift:
        show(*_view(watch))
    if watch.status != "Completed":
        complain(f"job {watch.job}: {watch.status}: {watch.failure}")
        raise typer.Exit(1)
    if watch.drift["verdict"] == "drift":
        raise typer.Exit(DRIFTED)


def _view(watch: MonitorJob) -> Iterator[RenderableType]:
    from rich.text import Text

    from pipeline.cli.tables import Column, Table

    drift = watch.drift
    verdict = Text(drift["verdict"], style=_STYLES[drift["verdict"]])
    photos = f"  {drift['photos']:,} photos of version {drift['model_version']}, {drift['compared']:,} compared"
    yield Text.assemble(verdict, photos)
    if drift["features"]:
        headings = ("baseline", "now", "PSI", "p-value")
        table = Table("feature", *(Column(heading, "number") for heading in headings), "")
        for feature in drift["features"]:
            drifted = Text("drifted", style="red") if feature["drifted"] else Text("")
            means = [feature["baseline_mean"], feature["window_mean"]]
            shown = [f"{mean:,.0f}" if mean >= 1000 else f"{mean:.4g}" for mean in means]
            table.add_row(feature["name"], *shown, f"{feature['psi']:.3f}", f"{feature['p_value']:.2g}", drifted)
        yield table
    elif drift["verdict"] == "too-few":
        minimum = f"{drift['minimum_photos']:,}"
        yield f"{minimum} photos are needed, and {minimum} in the baseline, which has {drift['baseline_photos']:,}"
    for reason, number in drift["refused"].items():
        yield Text(f"{number:,} captures not used: {reason}", style="dim")
    yield f"report: {watch.output}/report.html"
