"""Commands: local up, down, status, reset, chaos, permissions, inbox, env."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.app import DEFAULT_PROFILE, MACHINE, app, options_of
from pipeline.cli.background import start_console
from pipeline.cli.help import Application
from pipeline.cli.output import AsJson, show, status, write_json, write_json_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.local.cloud import Cloud, State


class Person(StrEnum):
    """Kinds of people in `pipeline.operations.account.people`, which this module does not load for its help."""

    ADMIN = "admin"
    CI = "ci"
    OPERATOR = "operator"
    APPROVER = "approver"


local = Application(no_args_is_help=True, help="The local cloud: AWS's own APIs on this machine, on 127.0.0.1 only.")
app.add_typer(local, name="local", rich_help_panel=MACHINE)


@local.command()
def up(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the AWS APIs. 0: the last one, or 8770.")] = 0,
    s3_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of S3. 0: the last one, or 8771.")] = 0,
    audit: Annotated[
        bool, typer.Option("--audit", help="Record what policies refuse, and answer it: see local permissions.")
    ] = False,
) -> None:
    """Start the local cloud, or report that it runs."""
    from pipeline.operations.account.local import start
    from steps.contracts.errors import PipelineError

    options = options_of(context)
    settings = options.settings()
    if settings.account.target != "local":
        raise PipelineError(
            f"the profile {options.profile} is of an AWS account; start the local cloud with --profile local"
        )
    if port and port == s3_port:
        raise PipelineError(f"--port and --s3-port are both {port}; choose two different ports")
    with status("starting the local cloud"):
        running = start(settings, api_port=port, s3_port=s3_port, audit=audit)
    # Creates the roles, the deploy function and the rules that invoke it.
    options.prepared()
    typer.echo(_running_line(running))
    if address := start_console(options, options.profile or DEFAULT_PROFILE):
        typer.echo(f"console: {address}")
    typer.echo(f"next: {options.command()} upsert")


def _running_line(running: Cloud) -> str:
    return f"running: pid {running.pid}, AWS APIs on 127.0.0.1:{running.api_port}, S3 on 127.0.0.1:{running.s3_port}"


@local.command()
def down() -> None:
    """Stop the local cloud and all that it started; its data stays on disk."""
    from pipeline.connection import local_directory
    from pipeline.local import cloud
    from pipeline.operations.account import consoles

    with status("stopping the local cloud"):
        consoles.end_all(local_directory())
        stopped = cloud.down(local_directory())
    typer.echo("stopped" if stopped else "the local cloud was not running")


@local.command(name="status")
def show_status(context: typer.Context, as_json: AsJson = False) -> None:
    """Report whether the local cloud runs and both its ports answer. Exit status 0 if so, else 1."""
    from pipeline.connection import local_directory
    from pipeline.local import cloud
    from pipeline.operations.account import consoles

    directory = local_directory()
    state = cloud.state(directory)
    if as_json:
        write_json(_state_values(state, directory))
    elif state.running is None:
        by = f"process {state.starting} " if state.starting else ""
        changing = f"{by}starts or stops it now; wait, and ask again"
        start = f"start it: {options_of(context).command()} local up"
        typer.echo(f"not running; {changing if state.changing else start}")
    else:
        typer.echo(_running_line(state.running))
        typer.echo(f"account {state.running.account_id}, {state.running.region}; its files are in {directory}")
        for console in consoles.running(directory):
            typer.echo(f"console: {console.address}")
        for line in _troubles(state, options_of(context).command()):
            typer.echo(line)
    if not state.answers:
        raise typer.Exit(1)


def _state_values(state: State, directory: Path) -> dict[str, Any]:
    running = state.running
    # Not the whole state: it holds the keys.
    process = {"pid": running.pid, "api_port": running.api_port, "s3_port": running.s3_port} if running else {}
    return {
        "running": running is not None,
        "answers": state.answers,
        "silent": state.silent,
        "restarts": [asdict(restart) for restart in state.health.restarts],
        "given_up": state.health.given_up,
        "directory": str(directory),
        **process,
    }


def _troubles(state: State, command: str) -> Iterator[str]:
    """What a person should know besides that it runs."""
    for restart in state.health.restarts:
        yield f"{restart.at}: the {restart.part} had ended by {restart.reason}; it was started again"
    if state.health.given_up:
        yield state.health.given_up
    if state.running and state.running.stopping:
        yield "it is about to end"
    elif state.silent:
        yield f"no answer from: {' and '.join(state.silent)}; mend it: {command} local up"


@local.command()
def reset(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
) -> None:
    """Stop the local cloud and delete its data: runs, models, endpoints, objects."""
    from pipeline.connection import local_directory
    from pipeline.local import cloud
    from pipeline.operations.account import consoles

    directory = local_directory()
    if not yes:
        typer.confirm(f"Delete the data of the local cloud in {directory}?", abort=True)
    with status("deleting"):
        consoles.end_all(directory)
        left = cloud.reset(directory)
    if left:
        typer.echo(f"deleted: the local cloud's files in {directory}; not its own, and still there: {', '.join(left)}")
    else:
        typer.echo(f"deleted: {directory}")


@local.command()
def chaos(  # noqa: PLR0917  # a command's options
    context: typer.Context,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Begin to inject faults, chosen by this seed.", show_default=False)
    ] = None,
    throttled: Annotated[float, typer.Option(min=0, max=0.5, help="Share of API calls that are throttled.")] = 0.05,
    capacity_errors: Annotated[int, typer.Option(min=0, help="Jobs whose instances EC2 cannot provide.")] = 1,
    spot_interruptions: Annotated[
        int, typer.Option(min=0, max=10, help="Interruptions per trial on spot instances.")
    ] = 1,
    slow_downs: Annotated[int, typer.Option(min=0, help="Requests that S3 refuses, in one burst.")] = 40,
    spot_after: Annotated[int, typer.Option(min=1, help="Mean number of epochs before an interruption.")] = 4,
    notice: Annotated[float, typer.Option(min=1, help="Seconds from SIGTERM to SIGKILL.")] = 120.0,
    off: Annotated[bool, typer.Option("--off", help="End all faults.")] = False,
    as_json: AsJson = False,
) -> None:
    """Inject faults into the running cloud as AWS has them (--seed), end them (--off), or report those so far."""
    from pipeline.connection import local_directory
    from pipeline.local import cloud, faults
    from steps.contracts.errors import PipelineError

    directory = local_directory()
    if cloud.find(directory) is None:
        raise PipelineError("the local cloud is not running; start it: python -m pipeline local up")
    if off and seed is not None:
        raise typer.BadParameter("excludes --seed", param_hint="--off")
    if off:
        faults.write(directory, faults.Plan())
    elif seed is not None:
        plan = faults.Plan(
            seed, throttled, capacity_errors, spot_interruptions, slow_downs, spot_after, notice_seconds=notice
        )
        faults.write(directory, plan)
    plan_now, counts = faults.current(directory), faults.counts(directory)
    if as_json:
        write_json(
            {"plan": asdict(plan_now) if plan_now else None, "injected": {kind: counts[kind] for kind in faults.KINDS}}
        )
    elif plan_now is None:
        typer.echo(f"no faults are injected; begin: {options_of(context).command()} local chaos --seed 1")
    else:
        ending = f"{options_of(context).command()} local chaos --off"
        typer.echo(f"faults are injected by seed {plan_now.seed}; end them: {ending}")
        for kind in faults.KINDS:
            typer.echo(f"  {kind}: {counts[kind]} so far")


@local.command()
def permissions(
    role: Annotated[str, typer.Option(help="Name of a role. Default: all roles.")] = "",
    check: Annotated[bool, typer.Option("--check", help="Exit with status 1 if a request was refused.")] = False,
    as_json: AsJson = False,
) -> None:
    """List, per role and statement, the actions used and never used in all runs so far, and what was refused."""
    from pipeline.connection import local_directory
    from pipeline.operations.account.permissions import role_uses

    uses = role_uses(local_directory(), role)
    if as_json:
        write_json([asdict(use) for use in uses])
    else:
        from pipeline.cli.views.permissions import permissions_page

        show(*permissions_page(uses))
    if check and any(use.denied for use in uses):
        raise typer.Exit(1)


@local.command()
def inbox(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new messages until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the messages of the account's topics, oldest first: alerts and alarms, which AWS sends as mail.

    With --follow and --json: one object per line.
    """
    from pipeline.cli.views.inbox import message_page
    from pipeline.connection import local_directory
    from pipeline.operations.account import inbox as operation

    directory = local_directory()
    if follow:
        for message in operation.follow(directory):
            if as_json:
                write_json_line(message)
            else:
                show(*message_page(message))
        return
    messages = operation.messages(directory)
    if as_json:
        write_json(messages)
        return
    for message in messages:
        show(*message_page(message))
    if not messages:
        typer.echo("no messages yet: a failed run, a refused model, a deployment gone back and a drift send one")


@local.command()
def env(
    context: typer.Context,
    person: Annotated[
        Person | None,
        typer.Option("--as", help="Act with the policies of this kind of person. Default: the account's root user."),
    ] = None,
) -> None:
    """Print the variables for AWS clients to use the local cloud: eval $(python -m pipeline local env)

    Proxies and profiles are out of the clients' way then. Two clients name AWS's own addresses all the same. For the
    aws CLI 1, add --endpoint-url $AWS_ENDPOINT_URL to its sqs commands. The SageMaker SDKs ask AWS for the account
    where they choose a bucket or a role themselves: pass default_bucket to Session, and the role's ARN instead of
    get_execution_role().
    """
    from pipeline.connection import foreign_variables, local_directory
    from pipeline.local import cloud
    from pipeline.operations.account import people
    from steps.contracts.errors import PipelineError

    running = cloud.find(local_directory())
    if running is None:
        raise PipelineError("the local cloud is not running; start it: python -m pipeline local up")
    variables = cloud.environment(running)
    if person is not None:
        settings = options_of(context).prepared()
        variables |= people.sign_in(settings, person.value)
    # eval $(...) without quotes joins all lines into one, so each line ends with a semicolon.
    for name in foreign_variables():
        if name not in variables:
            typer.echo(f"unset {name};")
    for name, value in sorted(variables.items()):
        typer.echo(f"export {name}={shlex.quote(value)};")
