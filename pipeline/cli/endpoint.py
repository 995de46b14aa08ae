"""Commands: endpoint, predict."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.app import RELEASE, app, options_of, status, write_json

Json = Annotated[bool, typer.Option("--json", help="Write JSON for machines.")]


@app.command(rich_help_panel=RELEASE)
def endpoint(context: typer.Context, as_json: Json = False) -> None:
    """Show the endpoint and the version that it serves."""
    from pipeline.operations import endpoint as operation

    found = operation.describe(options_of(context).connected())
    if as_json:
        write_json(found)
        return
    from rich.console import Console

    from pipeline.display import moment, shortened, status_text

    console = Console()
    console.print(found.name, status_text(found.status), f"since {moment(found.changed)}", highlight=False)
    console.print(f"version {found.version or '-'}  {found.package}", highlight=False, soft_wrap=True)
    console.print(f"config  {found.config}", highlight=False, soft_wrap=True)
    if found.failure:
        console.print(shortened(found.failure), style="red", highlight=False)


@app.command(rich_help_panel=RELEASE)
def predict(
    context: typer.Context,
    photos: Annotated[
        list[str],
        typer.Argument(metavar="PHOTO...", help="JPEG files, folders of them, or s3:// objects and prefixes."),
    ],
    concurrency: Annotated[int, typer.Option(min=1, max=32, help="Photos sent at the same time.")] = 4,
    as_json: Json = False,
) -> None:
    """Count the objects in photos with the endpoint."""
    from pipeline.operations import endpoint as operation

    settings = options_of(context).connected()
    read = operation.read_photos(settings, photos)
    with status(f"counting in {len(read):,} photos"):
        predictions = list(operation.predict(settings, read, concurrency=concurrency))
    if as_json:
        write_json(predictions)
        return
    from rich.console import Console

    from pipeline.display import predictions_table

    Console().print(predictions_table(predictions), highlight=False)
