"""Commands: images list, build, push."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.cli.app import DEFINE, Options, app, options_of
from pipeline.cli.help import Application
from pipeline.cli.output import AsJson, note, show, status, warn, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from pipeline.compiling.step_images import StepImage
    from pipeline.operations.images.publishing import Builder, ImageResult, Listing
    from pipeline.settings import Settings

images = Application(
    no_args_is_help=True,
    help="List, build and push the images of the steps.",
)
app.add_typer(images, name="images", rich_help_panel=DEFINE)

Steps = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="STEP",
        help="query, explore, plan, shard, train, evaluate, serve or monitor. Default: all that runs have.",
    ),
]
BuilderOption = Annotated[
    Literal["auto", "docker", "codebuild"] | None,
    typer.Option("--builder", help="What builds the images. Default: images.builder of the settings."),
]


@images.command(name="list")
def list_images(context: typer.Context, as_json: AsJson = False) -> None:
    """List the image of each step, its base image, and whether the account has it; needs no account."""
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
    show(*_view(listing))
    if problem:
        warn(f"not checked: {problem}")
    elif any(not published.pushed for published in listing.images):
        typer.echo(f"next: {options.command()} images push")


@images.command()
def build(
    context: typer.Context,
    steps: Steps = None,
    everything: Annotated[bool, typer.Option("--all", help="Build existing images too; with Docker only.")] = False,
    builder: BuilderOption = None,
    as_json: AsJson = False,
) -> None:
    """Build the missing images: with Docker, or in the account with CodeBuild, which also pushes them."""
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
    done = operation.build(settings, wanted, note, everything=everything, by=by)
    _report(done, as_json)
    if by == "docker" and not as_json:
        typer.echo(f"next: {options.command()} images push")


@images.command()
def push(context: typer.Context, steps: Steps = None, builder: BuilderOption = None, as_json: AsJson = False) -> None:
    """Build the missing images, and push those that the account's repositories lack."""
    from pipeline.operations.images import publishing as operation

    options = options_of(context)
    settings = options.settings()
    wanted = operation.select(settings, steps or [])
    if settings.account.target == "local":
        _publish(options, wanted, as_json)
        return
    settings = options.prepared()
    done = operation.push(settings, wanted, note, by=_builder(settings, builder))
    _report(done, as_json)


def _builder(settings: Settings, wanted: BuilderOption) -> Builder:
    from pipeline.operations.images import publishing as operation

    by, reason = operation.builder(settings, wanted)
    codebuild = f"the account's CodeBuild project {settings.image_builder}, which also pushes"
    note(f"building with {'Docker' if by == 'docker' else codebuild} ({reason})")
    return by


def _publish(options: Options, wanted: Sequence[StepImage], as_json: bool) -> None:
    """Publish copies of the source, which the local cloud runs in place of images."""
    from pipeline.operations.images import publishing as operation

    options.prepared()
    _report([operation.ImageResult(image.step, image.uri, "published") for image in wanted], as_json)


def _report(done: Sequence[ImageResult], as_json: bool) -> None:
    if as_json:
        write_json(done)
        return
    for image in done:
        typer.echo(f"{image.change}: {image.uri}")


_STATES = {True: "yes", False: "missing", None: "not checked"}
_COLOURS = {True: "green", False: "yellow", None: "dim"}


def _view(listing: Listing) -> Iterator[RenderableType]:
    from rich.text import Text

    from pipeline.cli.tables import Column, Table
    from pipeline.texts import moment

    table = Table("step", Column("image", "uri", 0), Column("MB", "number"), Column("pushed", "time"))
    bases: dict[str, list[str]] = {}
    for published in listing.images:
        when = moment(published.pushed_at) if published.pushed_at else _STATES[published.pushed]
        size = f"{published.size / 1e6:,.1f}" if published.size is not None else ""
        name = published.uri.split("/", 1)[1]
        table.add_row(published.image.step, name, size, Text(when, style=_COLOURS[published.pushed]))
        bases.setdefault(published.image.base, []).append(published.image.step)
    yield table
    for base, steps in bases.items():
        yield f"{', '.join(steps)}: built on {base}"
