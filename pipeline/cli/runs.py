"""Commands: start, watch, runs, stop, retry, logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.app import RUN, Options, app, options_of
from pipeline.cli.output import AsJson, may_ask, note, show, status, warn, write_json

if TYPE_CHECKING:
    from pipeline.operations.caching.reuse import Expectation, Planned
    from pipeline.operations.cost.before import RunCost
    from pipeline.operations.runs.executions import Execution
    from pipeline.operations.runs.logs import Line
    from pipeline.settings import Settings

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Id or ARN of a run, or 'latest'.")]


@app.command(rich_help_panel=RUN)
def start(
    context: typer.Context,
    *,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter",
            "-p",
            metavar="NAME=VALUE",
            help="Parameter of this run; repeat it for several. Names: {parameters}.",
        ),
    ] = None,
    fresh: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STEP",
            help="Run this step and the steps after it again, although their results are cached: QueryMetadata,"
            " ShardImages, TuneModel or 'all'; repeat it for several.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run, for the list of runs.", show_default=False)] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Follow the run until it ends.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask. A pipe, CI and the local cloud never ask.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start a run. First list the steps that will come from the cache, and what the run costs; in a terminal, ask."""
    from datetime import UTC, datetime

    from pipeline.clients import client
    from pipeline.operations import links
    from pipeline.operations.caching import freshness
    from pipeline.operations.caching.reuse import Planned
    from pipeline.operations.runs import executions, parameters

    options = options_of(context)
    chosen = parameters.parse(parameter or [])
    again = freshness.of(fresh or [], chosen, datetime.now(UTC))
    values = {**chosen, **again.values}
    settings = options.prepared()
    definition = executions.definition(client(settings, "sagemaker"), settings)
    freshness.check(again, definition.get("Parameters", []), settings.name)
    parameters.checked(settings, definition, values)
    expected, problem = _forecast(settings, Planned(definition, values, again.steps))
    cost, cost_problem = _cost(settings, Planned(definition, values), expected)
    if not as_json:
        _show_forecast(settings, expected, problem)
        _show_cost(options, settings, cost, cost_problem)
        for line in freshness.explanation(again, options.command()):
            typer.echo(line)
        if not yes:
            _ask(settings)
    execution = executions.start(settings, values, name=name)
    with status("looking for its pages"):
        pages = links.for_run(settings, execution.arn)
    if as_json:
        forecast = {"expected": expected, "forecast_problem": problem}
        _write_started(execution, {"links": pages, "set": again.values, **forecast}, cost, cost_problem)
    else:
        typer.echo(f"started: {execution.arn}", err=watch)
        for link in pages:
            typer.echo(f"the run {link.line}", err=watch)
    if watch:
        from pipeline.cli.following import follow

        follow(options, settings, execution, quiet=as_json)
    elif not as_json:
        typer.echo(f"next: {options.command()} watch {execution.id}")


def _ask(settings: Settings) -> None:
    """Ask before a run that costs; raises typer.Abort for no. A run of the local cloud costs nothing."""
    if settings.account.target != "local" and may_ask():
        typer.confirm("Start it?", abort=True, err=True)


def _write_started(execution: Execution, more: dict[str, Any], cost: RunCost | None, cost_problem: str) -> None:
    import dataclasses

    from pipeline.cli.views.cost import run_cost_document

    costs = {"cost": None if cost is None else run_cost_document(cost), "cost_problem": cost_problem}
    write_json({**dataclasses.asdict(execution), **more, **costs})


@app.command(rich_help_panel=RUN)
def watch(
    context: typer.Context,
    run: RunArgument = "latest",
    interval: Annotated[float, typer.Option(min=0.5, help="Seconds between two requests for its state.")] = 3.0,
    once: Annotated[bool, typer.Option("--once", help="Show its present state, and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write a JSON object per line and change.")] = False,
) -> None:
    """Follow a run until it ends. Exit status 0 if it succeeded, else 1; with --once always 0."""
    from pipeline.cli.following import follow, follow_json, show_once
    from pipeline.operations.runs import executions

    options = options_of(context)
    settings = options.connected()
    execution = executions.resolve(settings, run)
    if once:
        show_once(settings, execution, as_json=as_json)
    elif as_json:
        follow_json(options, settings, execution, interval=interval)
    else:
        follow(options, settings, execution, interval=interval)


def _forecast(settings: Settings, planned: Planned) -> tuple[tuple[Expectation, ...], str]:
    """What is expected of each step; nothing, and why, where that is unknown. A run starts in any case."""
    from datetime import UTC, datetime

    from pipeline.cli.errors import explained
    from pipeline.operations.caching import starting

    with status("comparing with earlier runs"):
        return starting.forecast(settings, planned, datetime.now(UTC), explained)


def _cost(settings: Settings, planned: Planned, expected: tuple[Expectation, ...]) -> tuple[RunCost | None, str]:
    """What the run will cost; None, and why, where that is unknown."""
    from pipeline.cli.errors import explained
    from pipeline.operations.caching import starting

    with status("estimating the cost"):
        return starting.cost(settings, planned, expected, explained)


def _show_cost(options: Options, settings: Settings, cost: RunCost | None, problem: str) -> None:
    from pipeline.cli.views.cost import run_cost_lines

    if cost is None:
        warn(f"no estimate of the cost: {problem}")
        return
    show(*run_cost_lines(cost, local=settings.account.target == "local"), f"its basis: {options.command()} cost")


def _show_forecast(settings: Settings, expected: tuple[Expectation, ...], problem: str) -> None:
    from pipeline.cli.views.savings import forecast_lines, forecast_table

    if problem:
        warn(f"no forecast of the steps from the cache: {problem}")
    if expected:
        show(forecast_table(expected), *forecast_lines(expected, local=settings.account.target == "local"))


@app.command(rich_help_panel=RUN)
def runs(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="Number of runs.")] = 10,
    as_json: AsJson = False,
) -> None:
    """List the newest runs, the latest first, and what goes on costing."""
    from pipeline.operations.models import registrations
    from pipeline.operations.runs import executions

    options = options_of(context)
    settings = options.connected()
    newest = executions.runs(settings, limit)
    if as_json:
        write_json(newest)
        return
    from rich.text import Text

    from pipeline.cli.views.runs import runs_table
    from pipeline.operations.cost import standing
    from pipeline.operations.cost.prices import FILE, Prices
    from pipeline.operations.cost.words import standing_lines

    if newest:
        show(runs_table(newest, registrations.of_runs(settings, newest)))
    else:
        typer.echo("no runs yet")
    with status("reading what goes on costing"):
        costs = standing.read(settings, newest, Prices(FILE, settings.account.region))
    lines = standing_lines(costs, options.command(), local=settings.account.target == "local")
    show(*(Text(line, style="dim") for line in lines))


@app.command(rich_help_panel=RUN)
def stop(context: typer.Context, run: RunArgument = "latest") -> None:
    """Stop a run and the jobs that it started."""
    from pipeline.operations.runs import executions

    execution = executions.stop(options_of(context).connected(), run)
    typer.echo(f"{execution.status}: {execution.arn}")


@app.command(rich_help_panel=RUN)
def retry(context: typer.Context, run: RunArgument = "latest") -> None:
    """Continue a run that failed or was stopped: steps that have succeeded stay, the others run again."""
    from pipeline.operations.runs import executions

    options = options_of(context)
    execution = executions.retry(options.connected(), run)
    typer.echo(f"{execution.status}: {execution.arn}")
    typer.echo(f"next: {options.command()} watch {execution.id}")


@app.command(rich_help_panel=RUN)
def logs(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Argument(metavar="STEP", help="Name of a step, 'endpoint', 'deploy' or 'alert'. Without it: list them."),
    ] = "",
    run: Annotated[str, typer.Option(metavar="RUN", help="Id or ARN of a run, or 'latest'.")] = "latest",
    trial: Annotated[
        int | None,
        typer.Option(min=1, help="Trial of TuneModel. Default: a failed one, or the newest.", show_default=False),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines until the run ends.")] = False,
) -> None:
    """Print the log of a step's job, of the endpoint, of the deploy function or of the alert function."""
    from pipeline.operations.runs import executions, progress
    from pipeline.operations.runs import logs as operation

    options = options_of(context)
    settings = options.connected()
    if not what:
        from pipeline.cli.views.runs import logs_table

        state = progress.read(settings, executions.resolve(settings, run).arn)
        show(logs_table(state, operation.OTHERS, options.command()))
        return
    if what in operation.OTHERS:
        source = operation.OTHERS[what](settings)

        def ended() -> bool:
            return False
    else:
        execution = executions.resolve(settings, run)
        source = operation.step_source(progress.read(settings, execution.arn), what, trial)

        def ended() -> bool:
            return executions.resolve(settings, execution.arn).ended

    note(source.title)
    lines = operation.follow(settings, source, ended) if follow else operation.read(settings, source)
    for line in lines:
        _print_line(line)


def _print_line(line: Line) -> None:
    # A stream is named JOB/HOST-TIME; each message has a time of its own.
    host = line.stream.rsplit("/", 1)[-1].rsplit("-", 1)[0] if "/algo-" in line.stream else ""
    typer.echo(f"{host}  {line.message}" if host else line.message)
