"""Command: bootstrap."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import DEFINE, app, options_of
from pipeline.cli.output import AsJson, status, write_json
from steps.contracts.errors import PipelineError

if TYPE_CHECKING:
    from pipeline.account.events import Event
    from pipeline.operations.account.bootstrap import BootstrapResult
    from pipeline.settings import Settings


@app.command(rich_help_panel=DEFINE)
def bootstrap(  # noqa: PLR0917  # a command's options
    context: typer.Context,
    plan: Annotated[bool, typer.Option("--plan", help="Show the planned changes only.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Delete the stack; bucket and images are retained.")] = False,
    data: Annotated[
        bool,
        typer.Option(
            "--data",
            help="With --delete: the pipeline's objects, bucket and images are deleted too, without undo.",
        ),
    ] = False,
    confirm: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="With --data: the bucket's name (the stack's where there is no bucket) instead of typing it.",
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Create or update what an account needs once: bucket, roles, catalog, deploy function, alarms."""
    if (data or confirm) and not delete:
        raise PipelineError("--data and --confirm need --delete")
    if as_json and not (yes or plan):
        raise PipelineError("--json asks no question; check with --plan first, then add --yes")
    settings = options_of(context).connected()
    if delete:
        _delete(settings, only_plan=plan, yes=yes, data=data, confirm=confirm, as_json=as_json)
        return
    from pipeline.operations.account.bootstrap import Bootstrap

    work = Bootstrap(settings)
    try:
        with status("asking CloudFormation for the changes"):
            planned = work.plan()
        if plan and as_json:
            write_json(planned)
            return
        if plan or not (planned.empty or as_json):
            from pipeline.cli.views import bootstrap as view

            view.show_plan(settings, planned)
        if plan:
            return
        if planned.empty:
            _report(work.unchanged(), as_json=as_json)
            return
        _ask(f"Make these changes in account {settings.account.id}, {settings.account.region}?", yes=yes)
        _follow(work.apply(), quiet=as_json)
    finally:
        # However this ends, the plan's change set is deleted.
        work.discard()
    _report(work.result(), as_json=as_json)


def _report(result: BootstrapResult, *, as_json: bool) -> None:
    if as_json:
        write_json(result)
        return
    from pipeline.cli.views import bootstrap as view

    view.show_result(result)


def _delete(settings: Settings, *, only_plan: bool, yes: bool, data: bool, confirm: str, as_json: bool) -> None:
    from pipeline.cli.views import bootstrap as view
    from pipeline.operations.account import teardown

    with status("looking for the stack and its data"):
        planned = teardown.plan(settings)
    what, name = ("bucket", planned.data.bucket) if planned.data.bucket else ("stack", settings.stack)
    if confirm and confirm != name:
        raise PipelineError(f"--confirm names {confirm}, the {what} is {name}")
    if only_plan and as_json:
        write_json(planned)
        return
    if not as_json or only_plan:
        view.show_teardown(settings, planned, data=data)
    if only_plan:
        return
    erases = data and planned.data.exists
    if planned.stack or erases:
        _ask(f"Delete this in account {settings.account.id}, {settings.account.region}?", yes=yes)
    if erases and not confirm:
        _type_name(view.erased_line(settings, planned.data), what, name)
    if planned.stack:
        _follow(teardown.delete(settings), quiet=as_json)
    if erases:
        view.count_versions(teardown.erase(settings, planned.data), quiet=as_json)
    left = teardown.retained_data(settings)
    if as_json:
        write_json({"stack": planned.stack, "data": planned.data if data else None, "left": left})
    elif planned.stack or erases:
        view.show_deleted(planned, left, data=data)


def _ask(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise PipelineError(f"{question} There is no terminal to answer at; add --yes")
    typer.confirm(question, abort=True)


def _type_name(erased: str, what: str, name: str) -> None:
    """Ask for a name to be typed, also with --yes: deleted data cannot be restored."""
    if not sys.stdin.isatty():
        raise PipelineError(f"--data deletes without undo: {erased}; confirm it with --confirm {name}")
    if typer.prompt(f"This cannot be undone: {erased}. Type the {what}'s name to delete") != name:
        raise PipelineError(f"that is not the {what}'s name; nothing was deleted")


def _follow(events: Iterator[Event], *, quiet: bool) -> None:
    from pipeline.cli.views import bootstrap as view

    try:
        view.follow(events, quiet=quiet)
    except KeyboardInterrupt:
        typer.secho("CloudFormation continues; see what is left to change: bootstrap --plan", err=True)
        raise
