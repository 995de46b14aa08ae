"""Commands: models, models compare, approve, reject."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import PROGRAM, RELEASE, app, options_of, status, write_json

if TYPE_CHECKING:
    from pipeline.operations.models.registry import Version

REFERENCE = "A version's number or ARN, or 'latest'."
VersionArgument = Annotated[str, typer.Argument(metavar="VERSION", help=REFERENCE)]
Comment = Annotated[str, typer.Option("--comment", "-m", help="Why; kept with the version.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON for machines.")]

models = typer.Typer(invoke_without_command=True, rich_markup_mode="rich")
app.add_typer(models, name="models", rich_help_panel=RELEASE)


@models.callback()
def listing(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="How many of the newest.")] = 10,
    as_json: AsJson = False,
) -> None:
    """List the registered versions of the model, with what they reached; compare two of them."""
    if context.invoked_subcommand is not None:
        return
    from pipeline.operations.models import registry

    options = options_of(context)
    settings = options.connected()
    with status("reading the registry"):
        found = registry.versions(settings, limit)
    if as_json:
        write_json([one.flat() for one in found])
    elif found:
        _show(found)
    else:
        typer.echo(registry.no_versions(settings).replace(PROGRAM, options.command()))
    for one in found:
        if one.evaluation.problem:
            typer.secho(f"{one.name}: {one.evaluation.problem}", err=True, fg="yellow")


def _show(found: list[Version]) -> None:
    from rich.console import Console
    from rich.text import Text

    from pipeline.cli.views import registry as registry_display

    console = Console()
    for table in registry_display.tables(found, console):
        console.print(table, highlight=False)
    for note in registry_display.notes(found):
        console.print(Text(note, style="dim"), highlight=False)


@models.command()
def compare(
    context: typer.Context,
    first: Annotated[str, typer.Argument(metavar="A", help=REFERENCE)],
    second: Annotated[str, typer.Argument(metavar="B", help="Another; differences are B less A.")],
    as_json: AsJson = False,
) -> None:
    """Compare two versions: metrics, classes, and what the photos that both counted say."""
    from pipeline.operations.models import comparison

    settings = options_of(context).connected()
    with status("reading both evaluations"):
        found = comparison.compare(settings, first, second)
    if as_json:
        write_json(found.flat())
        return
    from rich.console import Console

    from pipeline.cli.views import registry as registry_display

    Console().print(registry_display.comparison(found), highlight=False)


@app.command(rich_help_panel=RELEASE)
def approve(
    context: typer.Context,
    version: VersionArgument,
    comment: Comment = "",
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it serves and has passed its test.")] = False,
) -> None:
    """Approve a version: the endpoint is created, or updated to it."""
    from pipeline.operations.models import registry

    options = options_of(context)
    settings = options.prepared()
    approved = registry.decide(settings, version, "Approved", comment)
    typer.echo(f"approved: {approved.arn}")
    if wait:
        from pipeline.cli.endpoint import serving_line

        typer.echo(serving_line(settings, approved.arn))
    else:
        typer.echo(f"next: {options.command()} endpoint")


@app.command(rich_help_panel=RELEASE)
def reject(context: typer.Context, version: VersionArgument, comment: Comment = "") -> None:
    """Reject a version: it will not be deployed."""
    from pipeline.operations.models import registry

    rejected = registry.decide(options_of(context).connected(), version, "Rejected", comment)
    typer.echo(f"rejected: {rejected.arn}")
