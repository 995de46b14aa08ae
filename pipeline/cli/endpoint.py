"""Commands: endpoint, deploy, rollback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import RELEASE, app, options_of
from pipeline.cli.output import AsJson, goes_on, show, status, write_json

if TYPE_CHECKING:
    from pipeline.settings import Settings

ROLLBACK_SECONDS = 1800
# A canary deployment with its baking time can take two hours more than a plain one.
DEPLOY_SECONDS = 3 * 3600


def serving_line(settings: Settings, package: str, command: str, timeout: float = DEPLOY_SECONDS) -> str:
    """Wait until the endpoint serves `package` and its test has ended, and return its state as a line.

    `command` is the command line before a command's name, `timeout` in seconds.
    """
    from pipeline.operations.serving import endpoint as operation

    number = package.rsplit("/", 1)[-1]
    hints = (f"to see it: {command} endpoint", f"to serve an earlier version: {command} rollback")
    waiting = status(f"waiting until {settings.endpoint.name} serves version {number}")
    with goes_on(f"the deployment of version {number}", *hints), waiting:
        served = operation.wait(settings, package, timeout=timeout)
    return f"{served.name} is {served.status} with version {served.version}"


def show_hourly_cost(settings: Settings, command: str, *, stderr: bool = False) -> None:
    """Say what the endpoint of the settings costs per hour, and how to end that."""
    from pipeline.operations.cost import before
    from pipeline.operations.cost.prices import FILE, Prices
    from pipeline.operations.cost.words import hourly_text

    hourly = before.of_endpoint(settings, Prices(FILE, settings.account.region))
    costs = hourly_text(hourly, local=settings.account.target == "local")
    text = f"the endpoint {settings.endpoint.name} costs {costs}, until it is deleted: {command} delete"
    show(text, stderr=stderr)


@app.command(rich_help_panel=RELEASE)
def endpoint(context: typer.Context, as_json: AsJson = False) -> None:
    """Show the endpoint: version, cost, traffic, alarms, decisions of the deploy function, and latest errors."""
    from pipeline.cli.views.cost import hourly_document
    from pipeline.operations import links
    from pipeline.operations.cost import standing
    from pipeline.operations.cost.prices import FILE, Prices
    from pipeline.operations.serving import endpoint as operation

    settings = options_of(context).connected()
    with status("reading the endpoint"):
        described = operation.describe(settings)
        health = operation.health(settings)
    hourly = standing.of_serving(described, Prices(FILE, settings.account.region))
    pages = links.for_endpoint(settings)
    if as_json:
        import dataclasses

        write_json(
            {
                "version": described.version,
                **dataclasses.asdict(described),
                "cost_per_hour": hourly_document(hourly),
                "health": health,
                "links": pages,
            }
        )
        return
    from pipeline.cli.views.endpoint import endpoint_page

    show(*endpoint_page(described, health, hourly, local=settings.account.target == "local"))
    for link in pages:
        typer.echo(f"the endpoint {link.line}")


@app.command(rich_help_panel=RELEASE)
def deploy(
    context: typer.Context,
    version: Annotated[
        str | None, typer.Argument(metavar="VERSION", help="Number or ARN of a version. Default: the latest approved.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the endpoint serves it.")] = True,
    as_json: AsJson = False,
) -> None:
    """Deploy an approved version again, for example after a change to the endpoint's settings."""
    from pipeline.operations.models import registry
    from pipeline.operations.serving import deployment

    options = options_of(context)
    settings = options.prepared()
    chosen = registry.resolve(settings, version) if version else registry.latest_approved(settings)
    show_hourly_cost(settings, options.command(), stderr=as_json)
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
    typer.echo(serving_line(settings, done.arn, options.command()), err=as_json)


@app.command(rich_help_panel=RELEASE)
def rollback(
    context: typer.Context,
    to: Annotated[
        str,
        typer.Option("--to", metavar="VERSION", help="Number or ARN of a version. Default: the one approved before."),
    ] = "",
    comment: Annotated[str, typer.Option("--comment", "-m", help="Reason, recorded with the versions.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the endpoint serves it.")] = True,
) -> None:
    """Deploy an earlier version without a canary, and reject the approved versions after it. For approvers."""
    from pipeline.operations.serving import deployment as operation

    options = options_of(context)
    settings = options.connected()
    chosen = operation.rollback_target(settings, to)
    if not yes:
        typer.confirm(f"Deploy {chosen.name} again, and reject every approved version after it?", abort=True)
    done = operation.roll_back(settings, chosen, comment)
    for number in done.rejected:
        typer.echo(f"rejected: version {number}")
    typer.echo(f"{done.decision}: {done.reason}")
    if not wait:
        typer.echo(f"next: {options.command()} endpoint")
        return
    typer.echo(serving_line(settings, done.arn, options.command(), ROLLBACK_SECONDS))
