"""Commands: lineage."""

from __future__ import annotations

import typer

from pipeline.cli.app import RELEASE, app, options_of, status, write_json
from pipeline.cli.registry import AsJson, VersionArgument


@app.command(rich_help_panel=RELEASE)
def lineage(context: typer.Context, version: VersionArgument, as_json: AsJson = False) -> None:
    """Walk from a version back to its run, its training, its data set, its query and its photos."""
    from pipeline.operations.models import lineage as operation

    settings = options_of(context).connected()
    with status("walking back"):
        found = operation.read(settings, version)
    if as_json:
        write_json(found.flat())
        return
    from rich.console import Console

    from pipeline.cli.views import lineage as lineage_display

    Console().print(lineage_display.tree(found), highlight=False)
