"""Commands: models, approve, reject."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.app import RELEASE, app, options_of, write_json

VersionArgument = Annotated[str, typer.Argument(metavar="VERSION", help="A version's number or ARN, or 'latest'.")]
Comment = Annotated[str, typer.Option("--comment", "-m", help="Why; kept with the version.", show_default=False)]


@app.command(rich_help_panel=RELEASE)
def models(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="How many of the newest.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON for machines.")] = False,
) -> None:
    """List the registered versions of the model, with what they reached."""
    from pipeline.operations import registry

    settings = options_of(context).connected()
    found = registry.versions(settings, limit)
    if as_json:
        write_json(found)
        return
    from rich.console import Console

    from pipeline.display import moment, simple_table, status_text

    if not found:
        typer.echo(f"no versions in the group {settings.registry.group} yet")
        return
    table = simple_table("version", "registered", "approval", "accuracy", "RMSE", "run", "comment")
    for one in found:
        accuracy = "-" if one.accuracy is None else f"{one.accuracy:.3f}"
        rmse = "-" if one.rmse is None else f"{one.rmse:.3f}"
        # Short enough that a terminal of 80 columns breaks no name.
        approval = status_text(one.approval.replace("PendingManualApproval", "Pending"))
        table.add_row(str(one.version), moment(one.created)[:-3], approval, accuracy, rmse, one.run, one.comment)
    Console().print(table, highlight=False)


@app.command(rich_help_panel=RELEASE)
def approve(context: typer.Context, version: VersionArgument, comment: Comment = "") -> None:
    """Approve a version: the endpoint is created, or updated to it."""
    from pipeline.operations import registry

    options = options_of(context)
    approved = registry.decide(options.prepared(), version, "Approved", comment)
    typer.echo(f"approved: {approved.arn}")
    typer.echo(f"next: {options.command()} endpoint")


@app.command(rich_help_panel=RELEASE)
def reject(context: typer.Context, version: VersionArgument, comment: Comment = "") -> None:
    """Reject a version: it will not be deployed."""
    from pipeline.operations import registry

    rejected = registry.decide(options_of(context).connected(), version, "Rejected", comment)
    typer.echo(f"rejected: {rejected.arn}")
