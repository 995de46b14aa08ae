"""Commands: endpoint, deploy, rollback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import RELEASE, app, options_of, status, write_json

if TYPE_CHECKING:
    from pipeline.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Write JSON for machines.")]
ROLLBACK_SECONDS = 1800
# A canary and baking may take two hours more.
DEPLOY_SECONDS = 3 * 3600


def serving_line(settings: Settings, package: str, timeout: float = DEPLOY_SECONDS) -> str:
    """What there is to say once the endpoint serves `package` and has judged it; `timeout` in seconds."""
    from pipeline.operations.serving import endpoint as operation

    with status(f"waiting until {settings.endpoint.name} serves version {package.rsplit('/', 1)[-1]}"):
        found = operation.wait(settings, package, timeout=timeout)
    return f"{found.name} is {found.status} with version {found.version}"


@app.command(rich_help_panel=RELEASE)
def endpoint(context: typer.Context, as_json: Json = False) -> None:
    """Show the endpoint: its version, traffic, alarms, and what was decided or went wrong lately."""
    from pipeline.operations.serving import endpoint as operation

    settings = options_of(context).connected()
    with status("looking at the endpoint"):
        found = operation.describe(settings)
        health = operation.health(settings)
    if as_json:
        import dataclasses

        write_json({"version": found.version, **dataclasses.asdict(found), "health": health})
        return
    from rich.console import Console

    from pipeline.cli.views.endpoint import summary

    console = Console()
    for part in summary(found, health):
        console.print(part, highlight=False)


@app.command(rich_help_panel=RELEASE)
def deploy(
    context: typer.Context,
    version: Annotated[
        str | None, typer.Argument(help="Number or ARN of a version.", show_default="the latest approved")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it serves.")] = True,
    as_json: Json = False,
) -> None:
    """Bring an approved version to the endpoint, as its approval does: after `endpoint` settings have changed."""
    from pipeline.operations.models import registry
    from pipeline.operations.serving import deployment

    options = options_of(context)
    settings = options.prepared()
    chosen = registry.resolve(settings, version) if version else registry.latest_approved(settings)
    done = deployment.deploy(settings, chosen)
    if as_json:
        write_json(done)
    else:
        typer.echo(f"{done.decision}: {done.reason}")
    if done.decision not in ("creating", "updating"):
        return
    if not wait:
        typer.echo(f"next: {options.command()} endpoint", err=as_json)
        return
    typer.echo(serving_line(settings, done.arn), err=as_json)


@app.command(rich_help_panel=RELEASE)
def rollback(
    context: typer.Context,
    to: Annotated[str, typer.Option("--to", metavar="VERSION", help="Default: the approved one before.")] = "",
    comment: Annotated[str, typer.Option("--comment", "-m", help="Why; kept with the versions.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it serves.")] = True,
) -> None:
    """Go back to an earlier version at once; the versions after it are rejected."""
    from pipeline.operations.serving import deployment as operation

    options = options_of(context)
    settings = options.connected()
    chosen = operation.rollback_target(settings, to)
    if not yes:
        typer.confirm(f"Go back to {chosen.name}, and reject every approved version after it?", abort=True)
    done = operation.roll_back(settings, chosen, comment)
    for number in done.rejected:
        typer.echo(f"rejected: version {number}")
    typer.echo(f"{done.decision}: {done.reason}")
    if not wait:
        typer.echo(f"next: {options.command()} endpoint")
        return
    typer.echo(serving_line(settings, done.arn, ROLLBACK_SECONDS))
