"""Commands: start, watch, runs, stop, logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import INTERRUPTED, RUN, Options, app, options_of, status, write_json

if TYPE_CHECKING:
    from pipeline.operations.caching.reuse import Expectation, Planned
    from pipeline.operations.runs.executions import Execution
    from pipeline.operations.runs.logs import Line
    from pipeline.settings import Settings

RunArgument = Annotated[str, typer.Argument(metavar="[RUN]", help="A run's id or ARN, or 'latest'.")]
Json = Annotated[bool, typer.Option("--json", help="Write JSON for machines.")]


@app.command(rich_help_panel=RUN)
def start(
    context: typer.Context,
    *,
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="A value for this run; may come again."),
    ] = None,
    fresh: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STEP",
            help="Run QueryMetadata, ShardImages or TuneModel again, and what follows, whatever is cached; or 'all'.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="A name to find the run by.", show_default=False)] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Follow the run until it ends.")] = False,
    as_json: Json = False,
) -> None:
    """Start a run; say first which steps will come from the cache, and what that saves."""
    import dataclasses
    from datetime import UTC, datetime

    from pipeline.clients import client
    from pipeline.operations.caching import freshness
    from pipeline.operations.caching.reuse import Planned
    from pipeline.operations.runs import executions, parameters

    options = options_of(context)
    given = parameters.parse(parameter or [])
    again = freshness.of(fresh or [], given, datetime.now(UTC))
    values = {**given, **again.values}
    settings = options.prepared()
    definition = executions.definition(client(settings, "sagemaker"), settings)
    freshness.check(again, definition.get("Parameters", []), settings.name)
    parameters.checked(definition.get("Parameters", []), values)
    expected, unknown = _foretold(settings, Planned(definition, values, again.steps))
    if not as_json:
        _show_forecast(settings, expected, unknown)
        for line in freshness.explanation(again, options.command()):
            typer.echo(line)
    execution = executions.start(settings, values, name=name)
    if as_json:
        write_json(
            {**dataclasses.asdict(execution), "set": again.values, "expected": expected, "not_foretold": unknown}
        )
    else:
        typer.echo(f"started: {execution.arn}", err=watch)
    if watch:
        _follow(options, settings, execution, quiet=as_json)
    elif not as_json:
        typer.echo(f"next: {options.command()} watch {execution.id}")


@app.command(rich_help_panel=RUN)
def watch(
    context: typer.Context,
    run: RunArgument = "latest",
    interval: Annotated[float, typer.Option(min=0.5, help="Seconds between two looks.")] = 3.0,
    as_json: Annotated[bool, typer.Option("--json", help="Write the run's state now as JSON, and end.")] = False,
) -> None:
    """Follow a run until it ends. Exit status 0 when it succeeded, 1 when not."""
    from pipeline.operations.caching import savings
    from pipeline.operations.runs import executions, progress

    options = options_of(context)
    settings = options.connected()
    execution = executions.resolve(settings, run)
    if as_json:
        write_json(savings.reader(settings).annotated(progress.read(settings, execution.arn)))
        return
    _follow(options, settings, execution, interval=interval)


def _foretold(settings: Settings, planned: Planned) -> tuple[tuple[Expectation, ...], str]:
    """What is expected of each step; nothing, and why, where that cannot be told: a run starts all the same."""
    from datetime import UTC, datetime

    from pipeline.cli.errors import explained
    from pipeline.operations.caching import reuse, savings

    try:
        with status("looking what will come from the cache"):
            return reuse.forecast(settings, planned, savings.reader(settings), datetime.now(UTC)), ""
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        return (), f"a definition is not of the known form ({type(error).__name__}: {error})"
    except Exception as error:  # whatever AWS or the network did, it is no reason not to start
        return (), (explained(error) or str(error)).split(";")[0]


def _show_forecast(settings: Settings, expected: tuple[Expectation, ...], unknown: str) -> None:
    from rich.console import Console

    from pipeline.cli.views.runs import forecast_lines, forecast_table

    if unknown:
        typer.secho(f"not foretold what comes from the cache: {unknown}", err=True, fg="yellow")
    if expected:
        Console().print(forecast_table(expected), highlight=False)
        for line in forecast_lines(expected, local=settings.account.target == "local"):
            typer.echo(line)


def _follow(
    options: Options, settings: Settings, execution: Execution, *, interval: float = 3.0, quiet: bool = False
) -> None:
    """Show a run to its end; raises typer.Exit(1) unless it succeeded, with 130 when the reader has seen enough."""
    from rich.console import Console

    from pipeline.cli.views.runs import follow_run, outcome_lines, registration_lines, saved_lines
    from pipeline.operations.caching import savings
    from pipeline.operations.models import registrations
    from pipeline.operations.runs import progress

    # With --json stdout belongs to the machine.
    states = savings.reader(settings).each(progress.follow(settings, execution.arn, interval=interval))
    try:
        last = follow_run(states, Console(stderr=quiet))
    except KeyboardInterrupt:
        command = options.command()
        typer.secho(f"the run goes on: {command} watch {execution.id}, or: {command} stop {execution.id}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    succeeded = last.execution.status == "Succeeded"
    for line in outcome_lines(last, options.command()):
        typer.secho(line, fg="green" if succeeded else "red", err=quiet or not succeeded)
    for line in saved_lines(last, local=settings.account.target == "local"):
        typer.echo(line, err=quiet)
    # A step that registered has said which version it made.
    if not any(step.arn("RegisterModel") for step in last.steps):
        registration = registrations.of_run(settings, last.execution)
        for line in registration_lines(registration, options.command()):
            typer.echo(line, err=quiet)
    if not succeeded:
        raise typer.Exit(1)


@app.command(rich_help_panel=RUN)
def runs(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="How many of the newest.")] = 10,
    as_json: Json = False,
) -> None:
    """List the newest runs."""
    from pipeline.operations.models import registrations
    from pipeline.operations.runs import executions

    settings = options_of(context).connected()
    found = executions.runs(settings, limit)
    if as_json:
        write_json(found)
        return
    from rich.console import Console

    from pipeline.cli.views.runs import moment, reason, same_version, simple_table, status_text

    if not found:
        typer.echo("no runs yet")
        return
    registered = registrations.of_runs(settings, found)
    table = simple_table("run", "started", "status", "name", "")
    for run in found:
        same = registered.get(run.id)
        note = same_version(same.version) if same and same.withheld else reason(run.failure)
        table.add_row(run.id, moment(run.started), status_text(run.status), run.given_name, note)
    Console().print(table, highlight=False)


@app.command(rich_help_panel=RUN)
def stop(context: typer.Context, run: RunArgument = "latest") -> None:
    """Stop a run and the jobs that it has started."""
    from pipeline.operations.runs import executions

    execution = executions.stop(options_of(context).connected(), run)
    typer.echo(f"{execution.status}: {execution.arn}")


@app.command(rich_help_panel=RUN)
def logs(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="STEP", help="A step's name, or 'endpoint', or 'deploy'.")],
    run: Annotated[str, typer.Option(metavar="RUN", help="A run's id or ARN, or 'latest'.")] = "latest",
    trial: Annotated[
        int | None,
        typer.Option(min=1, help="Trial of TuneModel; else one that failed, else the newest.", show_default=False),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
) -> None:
    """Print what a step's job, the endpoint or the deploy function wrote."""
    from pipeline.operations.runs import executions, progress
    from pipeline.operations.runs import logs as operation

    settings = options_of(context).connected()
    if what in (operation.ENDPOINT, operation.DEPLOY):
        source = (operation.endpoint_source if what == operation.ENDPOINT else operation.deploy_source)(settings)

        def ended() -> bool:
            return False
    else:
        execution = executions.resolve(settings, run)
        source = operation.step_source(progress.read(settings, execution.arn), what, trial)

        def ended() -> bool:
            return executions.resolve(settings, execution.arn).ended

    typer.secho(source.title, err=True, dim=True)
    lines = operation.follow(settings, source, ended) if follow else operation.read(settings, source)
    for line in lines:
        _print_line(line)


def _print_line(line: Line) -> None:
    # A stream is JOB/HOST-TIME; the messages carry their own time.
    host = line.stream.rsplit("/", 1)[-1].rsplit("-", 1)[0] if "/algo-" in line.stream else ""
    typer.echo(f"{host}  {line.message}" if host else line.message)
