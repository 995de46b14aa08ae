"""Commands: schedule, schedules, unschedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import RUN, app, options_of
from pipeline.cli.output import AsJson, show, write_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.cli.tables import Table
    from pipeline.operations.runs.schedules import Schedule

_TIME = "YYYY-MM-DD[THH:MM:SS]"


@app.command(rich_help_panel=RUN)
def schedule(  # noqa: PLR0917  # a command's options
    context: typer.Context,
    expression: Annotated[
        str,
        typer.Argument(metavar="EXPRESSION", help="'rate(1 day)', 'cron(0 3 * * ? *)' or 'at(2030-12-01T03:00:00)'."),
    ],
    name: Annotated[str, typer.Option(help="Name of the schedule. Default: PIPELINE-runs.")] = "",
    timezone: Annotated[str, typer.Option(metavar="ZONE", help="Time zone, for example Europe/Berlin.")] = "UTC",
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter",
            "-p",
            metavar="NAME=VALUE",
            help="Parameter of its runs; repeat it for several. Names: {parameters}.",
        ),
    ] = None,
    start: Annotated[
        str, typer.Option(metavar=_TIME, help="First possible time, in the time zone. Default: a rate starts at once.")
    ] = "",
    end: Annotated[str, typer.Option(metavar=_TIME, help="Last possible time, in the time zone.")] = "",
    as_json: AsJson = False,
) -> None:
    """Create or change a schedule that starts runs."""
    from pipeline.operations.runs import parameters, schedules

    options = options_of(context)
    values = parameters.parse(parameter or [])
    # A mistake is reported before anything is prepared.
    schedules.check_times(expression, timezone, start, end)
    done = schedules.put(options.prepared(), expression, values, name=name, timezone=timezone, start=start, end=end)
    if as_json:
        write_json(done)
        return
    from pipeline.texts import moment

    typer.echo(f"{done.change}: {done.schedule.arn}")
    if done.schedule.next_run is not None:
        typer.echo(f"next run: {moment(done.schedule.next_run)}")


@app.command(name="schedules", rich_help_panel=RUN)
def listing(context: typer.Context, as_json: AsJson = False) -> None:
    """List the pipeline's schedules and the next time of each."""
    from pipeline.operations.runs import schedules

    options = options_of(context)
    each = schedules.schedules(options.connected())
    if as_json:
        write_json(each)
    elif each:
        show(_table(each))
    else:
        typer.echo(f"no schedules yet; create one: {options.command()} schedule 'rate(1 day)'")


def _table(schedules: Iterable[Schedule]) -> Table:
    from pipeline.cli.tables import Column, Table
    from pipeline.texts import moment

    table = Table("schedule", Column("due", "time"), Column("next", "time", 2), "starts")
    for schedule in schedules:
        values = " ".join(f"{name}={value}" for name, value in schedule.parameters.items())
        never = "disabled" if schedule.state == "DISABLED" else "never"
        following = moment(schedule.next_run) if schedule.next_run else never
        starts = f"{schedule.starts} {values}".rstrip()
        table.add_row(schedule.name, f"{schedule.expression} {schedule.timezone}", following, starts)
    return table


@app.command(rich_help_panel=RUN)
def unschedule(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the schedule. Default: PIPELINE-runs.")] = "",
) -> None:
    """Delete a schedule; runs that it started continue."""
    from pipeline.operations.runs import schedules

    removed = schedules.remove(options_of(context).connected(), name)
    typer.echo(f"deleted: {removed.arn}")
