"""Commands: start, watch, runs, stop, logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import RUN, Options, app, options_of
from pipeline.cli.output import AsJson, goes_on, may_ask, note, show, status, warn, write_json

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
    import dataclasses
    from datetime import UTC, datetime

    from pipeline.cli.views.cost import run_cost_document
    from pipeline.clients import client
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
        # A run of the local cloud costs nothing.
        if not yes and settings.account.target != "local" and may_ask():
            typer.confirm("Start it?", abort=True, err=True)
    execution = executions.start(settings, values, name=name)
    if as_json:
        write_json(
            {
                **dataclasses.asdict(execution),
                "set": again.values,
                "expected": expected,
                "forecast_problem": problem,
                "cost": None if cost is None else run_cost_document(cost),
                "cost_problem": cost_problem,
            }
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
    interval: Annotated[float, typer.Option(min=0.5, help="Seconds between two requests for its state.")] = 3.0,
    as_json: AsJson = False,
) -> None:
    """Follow a run until it ends. Exit status 0 if it succeeded, else 1. With --json: write its state once."""
    from pipeline.operations.caching import savings
    from pipeline.operations.runs import executions, progress

    options = options_of(context)
    settings = options.connected()
    execution = executions.resolve(settings, run)
    if as_json:
        write_json(savings.reader(settings).annotated(progress.read(settings, execution.arn)))
        return
    _follow(options, settings, execution, interval=interval)


def _forecast(settings: Settings, planned: Planned) -> tuple[tuple[Expectation, ...], str]:
    """What is expected of each step; nothing, and why, where that is unknown. A run starts in any case."""
    from datetime import UTC, datetime

    from pipeline.cli.errors import explained
    from pipeline.operations.caching import reuse, savings

    try:
        with status("comparing with earlier runs"):
            return reuse.forecast(settings, planned, savings.reader(settings), datetime.now(UTC)), ""
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        return (), f"a definition has an unknown form ({type(error).__name__}: {error})"
    except Exception as error:  # an error of AWS or the network is no reason not to start
        return (), (explained(error) or str(error)).split(";")[0]


def _cost(settings: Settings, planned: Planned, expected: tuple[Expectation, ...]) -> tuple[RunCost | None, str]:
    """What the run will cost; None, and why, where that is unknown. Without a forecast no step counts as cached."""
    from pipeline.cli.errors import explained
    from pipeline.operations.caching.reuse import Outcome
    from pipeline.operations.cost import before
    from pipeline.operations.cost.prices import FILE, Prices

    steps = {
        outcome: {expectation.step for expectation in expected if expectation.outcome == outcome}
        for outcome in (Outcome.CACHED, Outcome.UNSURE)
    }
    try:
        with status("estimating the cost"):
            return before.of_run(
                settings,
                planned.definition,
                planned.values,
                Prices(FILE, settings.account.region),
                cached=steps[Outcome.CACHED],
                unsure=steps[Outcome.UNSURE],
            ), ""
    except Exception as error:  # an error of AWS or the network is no reason not to start
        return None, (explained(error) or str(error)).split(";")[0]


def _show_cost(options: Options, settings: Settings, cost: RunCost | None, problem: str) -> None:
    from pipeline.cli.views.cost import run_cost_lines

    if cost is None:
        warn(f"no estimate of the cost: {problem}")
        return
    show(*run_cost_lines(cost, local=settings.account.target == "local"), f"its basis: {options.command()} cost")


def _show_forecast(settings: Settings, expected: tuple[Expectation, ...], problem: str) -> None:
    from pipeline.cli.views.runs import forecast_lines, forecast_table

    if problem:
        warn(f"no forecast of the steps from the cache: {problem}")
    if expected:
        show(forecast_table(expected), *forecast_lines(expected, local=settings.account.target == "local"))


def _follow(
    options: Options, settings: Settings, execution: Execution, *, interval: float = 3.0, quiet: bool = False
) -> None:
    """Show a run to its end; raises typer.Exit: 1 if it failed, 130 for Ctrl-C."""
    from rich.console import Console

    from pipeline.cli.views.runs import (
        follow_run,
        going_on,
        next_lines,
        outcome_lines,
        registration_lines,
        saved_lines,
    )
    from pipeline.operations.caching import savings
    from pipeline.operations.models import registrations
    from pipeline.operations.runs import progress

    # With --json stdout holds JSON alone.
    states = savings.reader(settings).each(progress.follow(settings, execution.arn, interval=interval))
    with goes_on(*going_on(execution.id, options.command())):
        last = follow_run(states, Console(stderr=quiet))
    succeeded = last.execution.status == "Succeeded"
    for line in outcome_lines(last, options.command()):
        typer.secho(line, fg="green" if succeeded else "red", err=quiet or not succeeded)
    for line in saved_lines(last, local=settings.account.target == "local"):
        typer.echo(line, err=quiet)
    # The line of a step that registered a version names that version.
    if not any(step.arn("RegisterModel") for step in last.steps):
        registration = registrations.of_run(settings, last.execution)
        for line in registration_lines(registration, options.command()):
            typer.echo(line, err=quiet)
    for line in next_lines(last, options.command()):
        typer.echo(line, err=quiet or not succeeded)
    if not succeeded:
        raise typer.Exit(1)


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

    from pipeline.cli.views.cost import standing_lines
    from pipeline.cli.views.runs import runs_table
    from pipeline.operations.cost import standing
    from pipeline.operations.cost.prices import FILE, Prices

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
def logs(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Argument(metavar="STEP", help="Name of a step, 'endpoint' or 'deploy'. Without it: list them."),
    ] = "",
    run: Annotated[str, typer.Option(metavar="RUN", help="Id or ARN of a run, or 'latest'.")] = "latest",
    trial: Annotated[
        int | None,
        typer.Option(min=1, help="Trial of TuneModel. Default: a failed one, or the newest.", show_default=False),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines until the run ends.")] = False,
) -> None:
    """Print the log of a step's job, of the endpoint or of the deploy function."""
    from pipeline.operations.runs import executions, progress
    from pipeline.operations.runs import logs as operation

    options = options_of(context)
    settings = options.connected()
    if not what:
        from pipeline.cli.views.runs import logs_table

        state = progress.read(settings, executions.resolve(settings, run).arn)
        show(logs_table(state, [operation.DEPLOY, operation.ENDPOINT], options.command()))
        return
    if what in (operation.ENDPOINT, operation.DEPLOY):
        source = (operation.endpoint_source if what == operation.ENDPOINT else operation.deploy_source)(settings)

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
