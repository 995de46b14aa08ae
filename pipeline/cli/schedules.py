"""Commands: schedule, schedules, unschedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import RUN, app, options_of, write_json

if TYPE_CHECKING:
    from pipeline.operations.runs.schedules import Schedule

Json = Annotated[bool, typer.Option("--json", help="Write JSON for machines.")]
_TIME = "YYYY-MM-DD[THH:MM:SS]"


@app.command(rich_help_panel=RUN)
def schedule(  # noqa: PLR0917  # a command's options
    context: typer.Context,
    expression: Annotated[str, typer.Argument(help="'rate(1 day)', 'cron(0 3 * * ? *)' or 'at(2030-12-01T03:00:00)'.")],
    name: Annotated[str, typer.Option(help="Which schedule. Default: NAME-runs, after the pipeline.")] = "",
    timezone: Annotated[str, typer.Option(metavar="ZONE", help="Such as Europe/Berlin.")] = "UTC",
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="A value for its runs; may come again."),
    ] = None,
    start: Annotated[
        str, typer.Option(metavar=_TIME, help="Not before, in the time zone; without it a rate begins at once.")
    ] = "",
    end: Annotated[str, typer.Option(metavar=_TIME, help="Not after, in the time zone.")] = "",
    as_json: Json = False,
) -> None:
    """Start runs by the clock: make a schedule, or change it."""
    from pipeline.operations.runs import parameters, schedules

    options = options_of(context)
    values = parameters.parse(parameter or [])
    # A mistake is told before anything is prepared.
    schedules.check_times(expression, timezone, start, end)
    done = schedules.put(options.prepared(), expression, values, name=name, timezone=timezone, start=start, end=end)
    if as_json:
        write_json(done)
        return
    from pipeline.cli.views.runs import moment

    made = done.schedule
    typer.echo(f"{done.change}: {made.arn}")
    if made.next_run is not None:
        typer.echo(f"next run: {moment(made.next_run)}")


@app.command(name="schedules", rich_help_panel=RUN)
def listing(context: typer.Context, as_json: Json = False) -> None:
    """List the pipeline's schedules, and when each is due next."""
    from pipeline.operations.runs import schedules

    options = options_of(context)
    found = schedules.schedules(options.connected())
    if as_json:
        write_json(found)
    elif found:
        _show(found)
    else:
        typer.echo(f"no schedules yet; make one: {options.command()} schedule 'rate(1 day)'")


def _show(found: list[Schedule]) -> None:
    from rich.console import Console

    from pipeline.cli.views.runs import moment, simple_table

    table = simple_table("schedule", "due", "next", "starts")
    for whole in ("schedule", "next"):
        next(column for column in table.columns if column.header == whole).no_wrap = True
    for one in found:
        values = " ".join(f"{name}={value}" for name, value in one.parameters.items())
        never = "disabled" if one.state == "DISABLED" else "never"
        following = moment(one.next_run) if one.next_run else never
        table.add_row(one.name, f"{one.expression} {one.timezone}", following, f"{one.starts} {values}")
    Console().print(table, highlight=False)


@app.command(rich_help_panel=RUN)
def unschedule(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Default: NAME-runs, after the pipeline.")] = "",
) -> None:
    """Remove a schedule; runs that it has started go on."""
    from pipeline.operations.runs import schedules

    removed = schedules.remove(options_of(context).connected(), name)
    typer.echo(f"removed: {removed.arn}")
