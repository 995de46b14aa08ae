"""Following a run, for the commands that start and watch runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from pipeline.cli.output import goes_on, show, status, write_json_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipeline.cli.app import Options
    from pipeline.operations.models.registrations import Registration
    from pipeline.operations.runs.executions import Execution
    from pipeline.operations.runs.progress import Progress
    from pipeline.settings import Settings


def follow(
    options: Options, settings: Settings, execution: Execution, *, interval: float = 3.0, quiet: bool = False
) -> None:
    """Show a run to its end, `quiet` on stderr; raises typer.Exit: 1 if it failed, 130 for Ctrl-C."""
    from rich.console import Console

    from pipeline.cli.views.live import is_live
    from pipeline.cli.views.runs import follow_run, going_on, next_lines, outcome_lines, registration_lines
    from pipeline.cli.views.savings import saved_lines
    from pipeline.operations.watching import following

    # With --json stdout holds JSON alone.
    console = Console(stderr=quiet)
    snapshots = following.follow(settings, execution.arn, interval=interval, details=is_live(console))
    with goes_on(*going_on(execution.id, options.command())):
        last = follow_run(snapshots, console)
    succeeded = last.execution.status == "Succeeded"
    for line in outcome_lines(last, options.command()):
        typer.secho(line, fg="green" if succeeded else "red", err=quiet or not succeeded)
    _print(saved_lines(last, local=settings.account.target == "local"), stderr=quiet)
    _print(registration_lines(_registration(settings, last), options.command()), stderr=quiet)
    _print(_places(settings, last), stderr=quiet or not succeeded)
    _print(next_lines(last, options.command()), stderr=quiet or not succeeded)
    if not succeeded:
        raise typer.Exit(1)


def follow_json(options: Options, settings: Settings, execution: Execution, *, interval: float) -> None:
    """Write a run's events to its end, a JSON object per line; raises typer.Exit: 1 if it failed, 130 for Ctrl-C."""
    from pipeline.cli.views.events import Events
    from pipeline.cli.views.runs import going_on
    from pipeline.operations.watching import following

    events = Events()
    with goes_on(*going_on(execution.id, options.command())):
        for snapshot in following.follow(settings, execution.arn, interval=interval):
            for event in events.since_last(snapshot):
                write_json_line(event)
        registration = _registration(settings, snapshot.progress)
        write_json_line(events.ended(snapshot, registration))
    if snapshot.progress.execution.status != "Succeeded":
        raise typer.Exit(1)


def show_once(settings: Settings, execution: Execution, *, as_json: bool) -> None:
    """Show the present state of a run, as its tree or as one line of JSON."""
    from pipeline.cli.views.events import state_document
    from pipeline.cli.views.tree import RunTree
    from pipeline.operations.watching import following

    with status("reading the run"):
        snapshot = following.read(settings, execution.arn)
    if as_json:
        write_json_line(state_document(snapshot))
    else:
        show(RunTree(snapshot))


def _registration(settings: Settings, last: Progress) -> Registration | None:
    """What the evaluation of a run says of its registration; None for a run that registered a version."""
    from pipeline.operations.models import registrations

    # The line of a step that registered a version names that version.
    if any(step.arn("RegisterModel") for step in last.steps):
        return None
    return registrations.of_run(settings, last.execution)


def _places(settings: Settings, last: Progress) -> Iterator[str]:
    """Where to look at a run, and at the job of its failed step."""
    from pipeline.operations import links

    job = links.of_step(settings, last.failed) if last.failed else ()
    for name, pages in (("its job", job), ("the run", links.for_run(settings, last.execution.arn))):
        yield from (f"{name} {link.line}" for link in pages)


def _print(lines: Iterable[str], *, stderr: bool) -> None:
    for line in lines:
        typer.echo(line, err=stderr)
