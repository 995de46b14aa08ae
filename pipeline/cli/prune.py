"""Command: dataset prune."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import options_of, status, write_json
from pipeline.cli.dataset import datasets

if TYPE_CHECKING:
    from pipeline.operations.dataset.prune_plan import PrunePlan
    from pipeline.settings import Settings

_DAYS = 90


@datasets.command()
def prune(
    context: typer.Context,
    days: Annotated[
        int,
        typer.Option(max=36_500, help="What was used or written in so many days stays; more than cache.keep_for."),
    ] = _DAYS,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write JSON for machines; with --yes alone it deletes.")
    ] = False,
) -> None:
    """Remove old shards and labels that no data set of the last days uses: shows what goes and what stays, then asks.

    Nothing does this by itself. Without a terminal, and without --yes, it only shows. Exits with 1 where something
    could not be deleted; run it again then.
    """
    from datetime import UTC, datetime

    from pipeline.cli.views import prune as prune_display
    from pipeline.clients import verify_account
    from pipeline.operations.dataset import prune_plan as planning

    options = options_of(context)
    settings = options.connected()
    verify_account(settings)
    now = datetime.now(UTC)
    with status("looking for what no data set uses"):
        plan = planning.make(settings, days, now)
    if not as_json:
        prune_display.show(settings, plan, now.date())
    if plan.empty or not (yes or (not as_json and _somebody_answers())):
        if as_json:
            write_json(prune_display.flat(plan))
        elif not plan.empty:
            typer.echo("nothing was deleted; to delete it, say --yes", err=True)
        return
    if not yes:
        typer.confirm(f"Delete {prune_display.counted(plan)}?", abort=True, err=True)
    _remove(settings, plan, as_json=as_json)


def _remove(settings: Settings, plan: PrunePlan, *, as_json: bool) -> None:
    from pipeline.cli.views import prune as prune_display
    from pipeline.operations.dataset import prune_deletion as deletion
    from pipeline.operations.dataset.prune_deletion import Refused

    objects = size = 0
    refused: list[Refused] = []
    try:
        with status("deleting") as spinner:
            for removed in deletion.carry_out(settings, plan):
                objects, size = objects + removed.objects, size + removed.size
                refused += removed.refused
                spinner.update(f"[dim]deleting: {objects:,} objects are gone[/dim]")
    finally:
        # Also where it is broken off, as what is gone is gone.
        if as_json:
            write_json(prune_display.flat(plan, objects, size, refused))
        elif objects:
            typer.echo(f"deleted: {objects:,} objects, {prune_display.gigabytes(size)} GB")
    for refusal in refused:
        typer.secho(f"remains: s3://{settings.data.bucket}/{refusal.key}: {refusal.reason}", err=True, fg="red")
    if refused:
        raise typer.Exit(1)


def _somebody_answers() -> bool:
    return sys.stdin.isatty()
