"""Commands: models, models compare, approve, reject, lineage."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.app import RELEASE, app, options_of
from pipeline.cli.help import Application
from pipeline.cli.output import AsJson, show, status, warn, write_json

REFERENCE = "Number or ARN of a version, or 'latest'."
VersionArgument = Annotated[str, typer.Argument(metavar="VERSION", help=REFERENCE)]
Comment = Annotated[str, typer.Option("--comment", "-m", help="Reason, which the version keeps.", show_default=False)]

models = Application(invoke_without_command=True)
app.add_typer(models, name="models", rich_help_panel=RELEASE)


@models.callback()
def listing(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="Number of versions.")] = 10,
    as_json: AsJson = False,
) -> None:
    """List the newest versions of the model with their metrics; compare two of them."""
    if context.invoked_subcommand is not None:
        return
    from pipeline.operations import links
    from pipeline.operations.models import registry

    options = options_of(context)
    settings = options.connected()
    with status("reading the registry"):
        versions = registry.versions(settings, limit)
        # An array of versions has no place for them.
        pages = () if as_json or not versions else links.for_models(settings)
    if as_json:
        write_json([version.flat() for version in versions])
    elif versions:
        from rich.text import Text

        from pipeline.cli.views.registry import notes, versions_table

        show(versions_table(versions), *(Text(line, style="dim") for line in notes(versions)))
    else:
        typer.echo(options.pasted(registry.no_versions(settings)))
    for link in pages:
        typer.echo(f"the versions {link.line}")
    for version in versions:
        if version.evaluation.problem:
            warn(f"{version.name}: {version.evaluation.problem}")


@models.command()
def compare(
    context: typer.Context,
    first: Annotated[str, typer.Argument(metavar="A", help=REFERENCE)],
    second: Annotated[str, typer.Argument(metavar="B", help="Another version; differences are B minus A.")],
    as_json: AsJson = False,
) -> None:
    """Compare two versions: metrics, accuracy by class, and differences on the photos that both counted."""
    from pipeline.operations.models import comparison

    settings = options_of(context).connected()
    with status("reading both evaluations"):
        compared = comparison.compare(settings, first, second)
    if as_json:
        write_json(compared.flat())
        return
    from pipeline.cli.views.registry import comparison_page

    show(*comparison_page(compared))


@app.command(rich_help_panel=RELEASE)
def approve(
    context: typer.Context,
    version: VersionArgument,
    comment: Comment = "",
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the endpoint serves it.")] = False,
) -> None:
    """Approve a version; the endpoint is created with it, or updated to it. First say what that costs per hour."""
    from pipeline.operations.models import registry

    options = options_of(context)
    settings = options.prepared()
    from pipeline.cli.endpoint import serving_line, show_hourly_cost

    chosen = registry.check(settings, version, "Approved")
    show_hourly_cost(settings, options.command())
    approved = registry.decide(settings, chosen.arn, "Approved", comment)
    typer.echo(f"approved: {approved.arn}")
    if wait:
        typer.echo(serving_line(settings, approved.arn, options.command()))
    else:
        typer.echo(f"next: {options.command()} endpoint")


@app.command(rich_help_panel=RELEASE)
def reject(context: typer.Context, version: VersionArgument, comment: Comment = "") -> None:
    """Reject a version, so that it is not deployed."""
    from pipeline.operations.models import registry

    rejected = registry.decide(options_of(context).connected(), version, "Rejected", comment)
    typer.echo(f"rejected: {rejected.arn}")


@app.command(rich_help_panel=RELEASE)
def lineage(context: typer.Context, version: VersionArgument, as_json: AsJson = False) -> None:
    """Show what a version comes from: its run, training job, data set, query and photos."""
    from pipeline.operations.models import lineage as operation

    settings = options_of(context).connected()
    with status("reading the lineage"):
        links = operation.read(settings, version)
    if as_json:
        write_json(links.flat())
        return
    from pipeline.cli.views.lineage import lineage_page

    show(*lineage_page(links))
