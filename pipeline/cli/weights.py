"""Command: weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.app import DEFINE, app, options_of
from pipeline.cli.output import AsJson, note, status, write_json


@app.command(rich_help_panel=DEFINE)
def weights(
    context: typer.Context,
    architecture: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Classifier of torchvision. Default: those of the settings."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            dir_okay=False,
            exists=True,
            help="A file that was downloaded on another machine, in place of the download.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put torchvision's published ImageNet weights into the bucket, from which trainings begin; see docs/training.md.

    This machine downloads them from download.pytorch.org; jobs need no internet. Weights of the published size
    are left, and other objects under their names are replaced.
    """
    from pipeline.operations.weights import placing
    from steps.contracts.imagenet_files import PublishedFile
    from steps.contracts.imagenet_weights import LICENCE

    options = options_of(context)
    settings = options.prepared()
    names = placing.architectures(settings, architecture)
    with status("asking the bucket") as line:

        def progress(published: PublishedFile, total: int) -> None:
            line.update(
                f"[dim]downloading {published.name}: {total / 2**20:.0f} of {published.mebibytes:.0f} MiB[/dim]"
            )

        placed = list(placing.place(settings, names, file, progress))
    if as_json:
        write_json(placed)
        return
    for each in placed:
        typer.echo(f"{each.change}: {each.uri}")
    if any(each.change != "unchanged" for each in placed):
        note(LICENCE)
    if not settings.starts_from_imagenet:
        chosen = settings.training.weights_file or "none"
        note(f"no training reads them: training.weights is {chosen}; set it to imagenet")
    typer.echo(f"next: {options.command()} upsert")
