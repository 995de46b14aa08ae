"""Command: demo."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.app import MACHINE, app, options_of

PROFILE = "demo"


@app.command(rich_help_panel=MACHINE)
def demo(
    context: typer.Context,
    bins: Annotated[
        str | None,
        typer.Option(metavar="PATH|S3", help="Your bins: a folder, a tar or s3://bucket/prefix.", show_default=False),
    ] = None,
    count: Annotated[int, typer.Option(min=100, help="How many synthetic bins.")] = 1800,
    seed: Annotated[int, typer.Option(min=0, help="Of the synthetic bins.")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="With --bins: how many of them.", show_default=False)] = None,
) -> None:
    """Run it all on this machine: bins, pipeline, approval, endpoint, predictions. Takes about four minutes."""
    from rich.console import Console

    from pipeline.cli.demo_run import Bins, run

    if limit is not None and bins is None:
        raise typer.BadParameter("goes with --bins; for synthetic bins take --count", param_hint="--limit")
    options = options_of(context)
    settings = options.settings(default_profile=PROFILE)
    run(settings, Bins(bins, count, seed, limit), Console(), options.command(default_profile=PROFILE))
