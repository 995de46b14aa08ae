"""Commands: images list, build, push."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.cli.app import DEFINE, Options, app, options_of, status, write_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.compiling.step_images import StepImage
    from pipeline.operations.images.publishing import Builder, ImageResult, Listing
    from pipeline.settings import Settings

images = typer.Typer(no_args_is_help=True, help="The images that steps run in: a tag a step, the hash of its content.")
app.add_typer(images, name="images", rich_help_panel=DEFINE)

Json = Annotated[bool, typer.Option("--json", help="Write JSON for machines.")]
Steps = Annotated[
    list[str] | None, typer.Argument(metavar="[STEP]...", help="query, shard, train, evaluate, serve, monitor.")
]
Asked = Annotated[
    Literal["auto", "docker", "codebuild"] | None,
    typer.Option("--builder", help="Who builds this time; default images.builder of the settings."),
]


@images.command(name="list")
def show(context: typer.Context, as_json: Json = False) -> None:
    """Say each step's image, what it is built on, and whether it is in the account; works without one."""
    from pipeline.cli.errors import explained
    from pipeline.connection import connect
    from pipeline.operations.images import publishing as operation
    from steps.contracts.errors import PipelineError

    options = options_of(context)
    settings = options.settings()
    try:
        connect(settings)
    except PipelineError as error:
        listing = operation.unchecked_listing(settings, error)
    else:
        with status("asking the account's repositories"):
            listing = operation.listing(settings)
    problem = explained(listing.problem) if listing.problem else ""
    if as_json:
        write_json({"images": listing.images, "not_checked": problem})
        return
    _table(listing)
    if problem:
        typer.secho(f"not checked: {problem}", err=True, fg="yellow")
    elif any(not one.pushed for one in listing.images):
        typer.echo(f"next: {options.command()} images push")


@images.command()
def build(
    context: typer.Context,
    steps: Steps = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what is there already; with Docker only.")] = False,
    builder: Asked = None,
    as_json: Json = False,
) -> None:
    """Build the images that are missing: with Docker, or in the account, which pushes them too."""
    from pipeline.operations.images import publishing as operation

    options = options_of(context)
    settings = options.settings()
    wanted = operation.select(settings, steps or [])
    if settings.account.target == "local":
        _publish(options, wanted, as_json)
        return
    settings = options.connected()
    by = _builder(settings, builder)
    if by == "codebuild":
        settings = options.prepared()
    done = operation.build(settings, wanted, _tell, everything=everything, by=by)
    _report(done, as_json)
    if by == "docker" and not as_json:
        typer.echo(f"next: {options.command()} images push")


@images.command()
def push(context: typer.Context, steps: Steps = None, builder: Asked = None, as_json: Json = False) -> None:
    """Build what is missing, and push what is not in the account's repositories."""
    from pipeline.operations.images import publishing as operation

    options = options_of(context)
    settings = options.settings()
    wanted = operation.select(settings, steps or [])
    if settings.account.target == "local":
        _publish(options, wanted, as_json)
        return
    settings = options.prepared()
    done = operation.push(settings, wanted, _tell, by=_builder(settings, builder))
    _report(done, as_json)


def _builder(settings: Settings, asked: Asked) -> Builder:
    from pipeline.operations.images import publishing as operation

    by, reason = operation.builder(settings, asked)
    what = "Docker" if by == "docker" else f"the account's CodeBuild project {settings.image_builder}, which pushes too"
    typer.secho(f"building with {what} ({reason})", err=True, dim=True)
    return by


def _tell(line: str) -> None:
    typer.secho(line, err=True, dim=True)


def _publish(options: Options, wanted: Sequence[StepImage], as_json: bool) -> None:
    """The local cloud runs copies of the source: to publish those is all that there is to build and to push."""
    from pipeline.operations.images import publishing as operation

    options.prepared()
    _report([operation.ImageResult(one.step, one.uri, "published") for one in wanted], as_json)


def _report(done: Sequence[ImageResult], as_json: bool) -> None:
    if as_json:
        write_json(done)
        return
    for one in done:
        typer.echo(f"{one.change}: {one.uri}")


_STATES = {True: "yes", False: "missing", None: "not checked"}
_COLOURS = {True: "green", False: "yellow", None: "dim"}


def _table(listing: Listing) -> None:
    from rich.console import Console
    from rich.text import Text

    from pipeline.cli.views.runs import moment, simple_table

    console = Console()
    table = simple_table("step", "image", "MB", "pushed")
    bases: dict[str, list[str]] = {}
    for one in listing.images:
        when = moment(one.pushed_at) if one.pushed_at else _STATES[one.pushed]
        size = f"{one.size / 1e6:,.1f}" if one.size is not None else ""
        name = one.uri.split("/", 1)[1]
        table.add_row(one.image.step, name, size, Text(when, style=_COLOURS[one.pushed]))
        bases.setdefault(one.image.base, []).append(one.image.step)
    console.print(table)
    for base, steps in bases.items():
        console.print(f"{', '.join(steps)}: built on {base}", highlight=False, soft_wrap=True)
