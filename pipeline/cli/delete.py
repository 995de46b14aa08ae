"""Command: delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import RELEASE, app, options_of
from pipeline.cli.output import status, write_json

if TYPE_CHECKING:
    from pipeline.operations.delete import Outcome, Plan
    from pipeline.settings import Settings


@app.command(rich_help_panel=RELEASE)
def delete(
    context: typer.Context,
    packages: Annotated[
        bool, typer.Option("--packages", help="Also the model versions and their group; nothing brings them back.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON for machines.")] = False,
) -> None:
    """Delete the pipeline, its schedules and its endpoint: shows what goes and what stays, then asks.

    Data, logs and what bootstrap made stay. Exits with 1 where something could not be deleted; run it again then.
    """
    from pipeline.clients import verify_account
    from pipeline.operations import delete as operation

    options = options_of(context)
    settings = options.connected()
    verify_account(settings)
    with status("looking for what there is"):
        plan = operation.plan(settings, packages=packages)
    if plan.items:
        _show(settings, plan)
        if not yes:
            _ask(settings, plan, packages=packages)
    outcomes = []
    for outcome in operation.carry_out(settings, plan):
        outcomes.append(outcome)
        if not as_json:
            _report(outcome)
    if as_json:
        write_json({"outcomes": outcomes, "kept": plan.kept})
    elif not outcomes:
        typer.echo(f"nothing of {settings.name} is in account {settings.account.id}, {settings.account.region}")
    remaining = [one for one in outcomes if one.change == "remains"]
    if remaining:
        raise typer.Exit(1)


def _show(settings: Settings, plan: Plan) -> None:
    """On stderr, as the question is: stdout is for what was done."""
    from rich.console import Console

    from pipeline.cli.tables import simple_table

    console = Console(stderr=True)
    account = settings.account
    console.print(f"Of [bold]{settings.name}[/bold], account {account.id}, {account.region}:", highlight=False)
    table = simple_table("goes", "name", "")
    for item in plan.items:
        table.add_row(item.kind, item.name, item.note)
    console.print(table, highlight=False)
    console.print("stays", style="dim")
    for kept in plan.kept:
        console.print(kept, highlight=False)


def _ask(settings: Settings, plan: Plan, *, packages: bool) -> None:
    if not packages:
        typer.confirm(f"Delete these {len(plan.items)}?", abort=True, err=True)
        return
    group = settings.registry.group
    typed = typer.prompt(f"Model versions cannot be brought back. Type the group's name, {group}, to delete", err=True)
    if typed.strip() != group:
        typer.secho(f"{typed!r} is not {group}; nothing was deleted", err=True, fg="red")
        raise typer.Exit(1)


def _report(outcome: Outcome) -> None:
    line = f"{outcome.change}: {outcome.item.kind} {outcome.item.name}"
    if outcome.change == "remains":
        typer.secho(f"{line}: {outcome.reason}", err=True, fg="red")
    else:
        typer.echo(line)
