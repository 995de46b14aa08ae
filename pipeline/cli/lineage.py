"""Command: lineage."""

from __future__ import annotations

import typer

from pipeline.cli.app import RELEASE, app, options_of
from pipeline.cli.output import AsJson, show, status, write_json
from pipeline.cli.registry import VersionArgument


@app.command(rich_help_panel=RELEASE)
def lineage(context: typer.Context, version: VersionArgument, as_json: AsJson = False) -> None:
    """Show what a version comes from: its run, training job, data set, query and photos."""
    from pipeline.operations.models import lineage as operation

    settings = options_of(context).connected()
    with status("reading the lineage"):
        links = operation.read(settings, version)
    if as_json:
        write_json(links.flat())
        return
    from pipeline.cli.views.lineage import lineage_page

    show(*lineage_page(links))
