"""Command: bootstrap."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import DEFINE, app, options_of
from pipeline.cli.output import status, write_json
from steps.contracts.errors import PipelineError

if TYPE_CHECKING:
    from pipeline.account.events import Event
    from pipeline.operations.account.bootstrap import Bootstrapped
    from pipeline.settings import Settings


@app.command(rich_help_panel=DEFINE)
def bootstrap(  # noqa: PLR0917  # a command's options
    context: typer.Context,
    plan: Annotated[bool, typer.Option("--plan", help="Show what would be done, and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Delete the stack; what holds data stays.")] = False,
    data: Annotated[
        bool,
        typer.Option(
            "--data", help="With --delete: the pipeline's objects, bucket and image repositories too, for ever."
        ),
    ] = False,
    confirm: Annotated[
        str,
        typer.Option(metavar="NAME", help="With --data: the bucket's name, or without one the stack's, unasked."),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON for machines.")] = False,
) -> None:
    """Make what an account needs once: bucket, roles, catalog, deploy function, alarms. Again: bring it up to date."""
    if (data or confirm) and not delete:
        raise PipelineError("--data and --confirm go with --delete")
    if as_json and not (yes or plan):
        raise PipelineError("--json shows nothing to agree to; look first by --plan, then say --yes")
    settings = options_of(context).connected()
    if delete:
        _delete(settings, only_plan=plan, yes=yes, data=data, confirm=confirm, as_json=as_json)
        return
    from pipeline.operations.account.bootstrap import Bootstrap

    work = Bootstrap(settings)
    try:
        with status("asking CloudFormation what there is to do"):
            planned = work.plan()
        if plan and as_json:
            write_json(planned)
            return
        if plan or not (planned.empty or as_json):
            from pipeline.cli.views import bootstrap as bootstrap_display

            bootstrap_display.show_plan(settings, planned)
        if plan:
            return
        if planned.empty:
            _report(work.unchanged(), as_json=as_json)
            return
        _ask(f"Do this in account {settings.account.id}, {settings.account.region}?", yes=yes)
        _follow(work.apply(), quiet=as_json)
    finally:
        # Whatever ends this before the plan is done: nothing of it is left behind.
        work.discard()
    _report(work.result(), as_json=as_json)


def _report(done: Bootstrapped, *, as_json: bool) -> None:
    if as_json:
        write_json(done)
        return
    from pipeline.cli.views import bootstrap as bootstrap_display

    bootstrap_display.show_result(done)


def _delete(settings: Settings, *, only_plan: bool, yes: bool, data: bool, confirm: str, as_json: bool) -> None:
    from pipeline.cli.views import bootstrap as bootstrap_display
    from pipeline.operations.account import teardown

    with status("looking at what there is"):
        planned = teardown.plan(settings)
    # Where the bucket is gone, what is left is the stack's.
    what, name = ("bucket", planned.data.bucket) if planned.data.bucket else ("stack", settings.stack)
    if confirm and confirm != name:
        raise PipelineError(f"--confirm names {confirm}, the {what} is {name}")
    if only_plan and as_json:
        write_json(planned)
        return
    if not as_json or only_plan:
        bootstrap_display.show_teardown(settings, planned, data=data)
    if only_plan:
        return
    something = bool(planned.stack) or (data and planned.data.there)
    if something:
        _ask(f"Delete this in account {settings.account.id}, {settings.account.region}?", yes=yes)
    if data and planned.data.there and not confirm:
        _type_name(bootstrap_display.erasing(settings, planned.data), what, name)
    if planned.stack:
        _follow(teardown.delete(settings), quiet=as_json)
    if data and planned.data.there:
        bootstrap_display.count_versions(teardown.erase(settings, planned.data), quiet=as_json)
    left = teardown.kept_data(settings)
    if as_json:
        write_json({"stack": planned.stack, "data": planned.data if data else None, "left": left})
    elif something:
        bootstrap_display.show_deleted(planned, left, data=data)


def _ask(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise PipelineError(f"{question} Nobody is there to answer; say it by --yes")
    typer.confirm(question, abort=True)


def _type_name(erased: str, what: str, name: str) -> None:
    """Data is gone for ever: a name is typed, whatever --yes says."""
    if not sys.stdin.isatty():
        raise PipelineError(f"--data deletes for ever: {erased}; confirm it by --confirm {name}")
    if typer.prompt(f"Deleted for ever: {erased}. Type the {what}'s name") != name:
        raise PipelineError(f"that is not the {what}'s name; nothing was deleted")


def _follow(events: Iterator[Event], *, quiet: bool) -> None:
    from pipeline.cli.views import bootstrap as bootstrap_display

    try:
        bootstrap_display.follow(events, quiet=quiet)
    except KeyboardInterrupt:
        typer.secho("CloudFormation goes on by itself; what there is to do then: bootstrap --plan", err=True)
        raise
