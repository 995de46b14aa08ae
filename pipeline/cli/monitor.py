"""Command: monitor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import RELEASE, app, options_of, status, write_json

if TYPE_CHECKING:
    from pipeline.operations.serving.monitoring import MonitorJob

Json = Annotated[bool, typer.Option("--json", help="Write JSON for machines.")]


@app.command(rich_help_panel=RELEASE)
def monitor(
    context: typer.Context,
    every: Annotated[
        str, typer.Option(metavar="EXPRESSION", help="Not now, but by the clock: 'rate(1 day)', 'cron(0 3 * * ? *)'.")
    ] = "",
    timezone: Annotated[str, typer.Option(metavar="ZONE", help="For --every, such as Europe/Berlin.")] = "UTC",
    retrain: Annotated[bool, typer.Option("--retrain", help="A drift starts a run of the pipeline.")] = False,
    as_json: Json = False,
) -> None:
    """Compare what the endpoint saw lately with what its model was tested on. Exits with 3 at a drift."""
    from pipeline.operations.serving import monitoring

    options = options_of(context)
    settings = options.prepared()
    if every:
        done = monitoring.schedule(settings, every, timezone=timezone, retrain=retrain)
        if as_json:
            write_json(done)
            return
        typer.echo(f"{done.change}: {done.schedule.arn}")
        typer.echo(f"to end it: {options.command()} unschedule {done.schedule.name}")
        return
    with status(f"looking at the last {settings.monitoring.hours} hours"):
        watch = monitoring.wait(settings, monitoring.start(settings, retrain=retrain))
    if as_json:
        write_json(watch)
    elif watch.drift:
        _show(watch)
    if watch.status != "Completed":
        typer.secho(f"job {watch.job}: {watch.status}: {watch.failure}", err=True, fg="red")
        raise typer.Exit(1)
    if watch.drift["verdict"] == "drift":
        raise typer.Exit(DRIFTED)


# A status of its own: a drift is no failure of the command.
DRIFTED = 3
_STYLES = {"ok": "green", "drift": "bold red", "too-few": "yellow"}


def _show(watch: MonitorJob) -> None:
    from rich.console import Console
    from rich.text import Text

    from pipeline.cli.views.runs import simple_table

    found, console = watch.drift, Console()
    verdict = Text(found["verdict"], style=_STYLES[found["verdict"]])
    said = f"  {found['photos']:,} photos of version {found['model_version']}, {found['compared']:,} compared"
    console.print(Text.assemble(verdict, said), highlight=False)
    if found["features"]:
        table = simple_table("feature", "baseline", "now", "PSI", "p-value", "")
        for one in found["features"]:
            drifted = Text("drifted", style="red") if one["drifted"] else Text("")
            means = [one["baseline_mean"], one["window_mean"]]
            shown = [f"{mean:,.0f}" if mean >= 1000 else f"{mean:.4g}" for mean in means]
            table.add_row(one["name"], *shown, f"{one['psi']:.3f}", f"{one['p_value']:.2g}", drifted)
        console.print(table, highlight=False)
    elif found["verdict"] == "too-few":
        wanted = f"{found['minimum_photos']:,} are wanted, and as many in the baseline ({found['baseline_photos']:,})"
        console.print(wanted, highlight=False)
    for reason, number in found["refused"].items():
        console.print(f"{number:,} captures not used: {reason}", highlight=False, style="dim")
    console.print(f"report: {watch.output}/report.html", highlight=False, soft_wrap=True)
