"""Command: delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import RELEASE, app, options_of
from pipeline.cli.output import AsJson, show, status, write_json
from steps.contracts.wording import count_of

if TYPE_CHECKING:
    from pipeline.operations.delete import DeletionPlan, Outcome
    from pipeline.settings import Settings


@app.command(rich_help_panel=RELEASE)
def delete(
    context: typer.Context,
    packages: Annotated[
        bool, typer.Option("--packages", help="Also delete the model versions and their group, without undo.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete the pipeline, its schedules and its endpoint, after showing them and asking.

    Data, logs and the account's stack are retained. Exits with 1 if a resource could not be deleted; then run it again.
    """
    from pipeline.clients import verify_account
    from pipeline.operations import delete as operation

    settings = options_of(context).connected()
    verify_account(settings)
    with status("listing the pipeline's resources"):
        plan = operation.plan(settings, packages=packages)
    if plan.resources:
        _show(settings, plan)
        if not yes:
            _ask(settings, plan, packages=packages)
    outcomes = []
    for outcome in operation.carry_out(settings, plan):
        outcomes.append(outcome)
        if not as_json:
            _report(outcome)
    if as_json:
        write_json({"outcomes": outcomes, "retained": plan.retained})
    elif not outcomes:
        account = settings.account
        typer.echo(f"the pipeline {settings.name} has no resources in account {account.id}, {account.region}")
    if any(outcome.change == "remains" for outcome in outcomes):
        raise typer.Exit(1)


def _show(settings: Settings, plan: DeletionPlan) -> None:
    """The plan, on stderr like the question: stdout is for the outcomes."""
    from rich.console import Console

    from pipeline.cli.tables import Table

    console = Console(stderr=True)
    account = settings.account
    console.print(f"pipeline [bold]{settings.name}[/bold], account {account.id}, {account.region}:", highlight=False)
    table = Table("deleted", "name", "")
    for resource in plan.resources:
        table.add_row(resource.kind, resource.name, resource.note)
    show(table, stderr=True)
    console.print("retained", style="dim")
    for line in plan.retained:
        console.print(line, highlight=False)


def _ask(settings: Settings, plan: DeletionPlan, *, packages: bool) -> None:
    if not packages:
        number = len(plan.resources)
        typer.confirm(f"Delete {count_of(number, 'resource')}?", abort=True, err=True)
        return
    group = settings.registry.group
    typed = typer.prompt(f"Model versions cannot be restored. Type the group's name, {group}, to delete", err=True)
    if typed.strip() != group:
        typer.secho(f"{typed!r} is not {group}; nothing was deleted", err=True, fg="red")
        raise typer.Exit(1)


def _report(outcome: Outcome) -> None:
    line = f"{outcome.change}: {outcome.resource.kind} {outcome.resource.name}"
    if outcome.change == "remains":
        typer.secho(f"{line}: {outcome.reason}", err=True, fg="red")
    else:
        typer.echo(line)
