"""Command: demo."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.app import DEMO_BINS, MACHINE, app, options_of
from pipeline.cli.background import start_console

PROFILE = "demo"


@app.command(rich_help_panel=MACHINE)
def demo(
    context: typer.Context,
    bins: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|S3", help="Bins of your own: a folder, a tar file or s3://BUCKET/PREFIX.", show_default=False
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=100, help="Number of synthetic bins.")] = DEMO_BINS,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the synthetic bins.")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="Number of bins to take from --bins. Default: all.")] = None,
) -> None:
    """Run everything on this machine: bins, pipeline, approval, endpoint, predictions. Takes about four minutes."""
    from rich.console import Console

    from pipeline.cli.demo_run import Bins, run

    if limit is not None and bins is None:
        raise typer.BadParameter("needs --bins; for synthetic bins use --count", param_hint="--limit")
    options = options_of(context)
    settings = options.settings(default_profile=PROFILE)
    run(
        settings,
        Bins(bins, count, seed, limit),
        Console(),
        options.command(default_profile=PROFILE),
        lambda: start_console(options, options.profile or PROFILE),
    )
