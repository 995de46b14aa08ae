"""Command: dataset prune."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import options_of
from pipeline.cli.dataset import datasets
from pipeline.cli.output import AsJson, complain, show, status, write_json
from steps.contracts.wording import count_of

if TYPE_CHECKING:
    from pipeline.operations.dataset.prune_plan import PrunePlan
    from pipeline.settings import Settings

_DAYS = 90


@datasets.command()
def prune(
    context: typer.Context,
    days: Annotated[
        int,
        typer.Option(max=36_500, help="Keep what was used or written in these days; more than cache.keep_for."),
    ] = _DAYS,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete old shards and labels that no recent data set uses: lists what is deleted and what stays, then asks.

    Without a terminal, or with --json, it deletes nothing unless --yes is given. Exit status 1 if something could not
    be deleted; then run it again.
    """
    from datetime import UTC, datetime

    from pipeline.cli.views import prune as prune_view
    from pipeline.clients import verify_account
    from pipeline.operations.dataset import prune_plan as planning

    options = options_of(context)
    settings = options.connected()
    verify_account(settings)
    now = datetime.now(UTC)
    with status("looking for shards and labels that no data set uses"):
        plan = planning.make(settings, days, now)
    if not as_json:
        show(*prune_view.plan_page(settings, plan, now.date()))
    if plan.empty or not (yes or (not as_json and _can_ask())):
        if as_json:
            write_json(prune_view.flat(plan))
        elif not plan.empty:
            typer.echo("nothing was deleted; to delete it: --yes", err=True)
        return
    if not yes:
        typer.confirm(f"Delete {prune_view.counted(plan)}?", abort=True, err=True)
    _remove(settings, plan, as_json=as_json)


def _remove(settings: Settings, plan: PrunePlan, *, as_json: bool) -> None:
    from pipeline.cli.views import prune as prune_view
    from pipeline.operations.dataset import prune_deletion as deletion
    from pipeline.operations.dataset.prune_deletion import Refused

    objects = size = 0
    refused: list[Refused] = []
    try:
        with status("deleting") as spinner:
            for removed in deletion.carry_out(settings, plan):
                objects, size = objects + removed.objects, size + removed.size
                refused += removed.refused
                spinner.update(f"[dim]deleting: {count_of(objects, 'object')} deleted[/dim]")
    finally:
        # Also after an error: report what was deleted before it.
        if as_json:
            write_json(prune_view.flat(plan, objects, size, refused))
        elif objects:
            typer.echo(f"deleted: {count_of(objects, 'object')}, {prune_view.gigabytes(size)} GB")
    for refusal in refused:
        complain(f"remains: s3://{settings.data.bucket}/{refusal.key}: {refusal.reason}")
    if refused:
        raise typer.Exit(1)


def _can_ask() -> bool:
    return sys.stdin.isatty()
