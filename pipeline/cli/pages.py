"""Commands: report, eda."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import RUN, app, options_of
from pipeline.cli.output import complain, status

if TYPE_CHECKING:
    from pipeline.operations.models.pages import Page

# Without --to pages are written to this folder of the working directory.
FOLDER = Path("reports")
To = Annotated[
    Path | None,
    typer.Option(
        "--to", metavar="FILE", dir_okay=False, help=f"File to write. Default: one in {FOLDER}/.", show_default=False
    ),
]
Open = Annotated[bool, typer.Option("--open", help="Open the page in a browser.")]


@app.command(rich_help_panel=RUN)
def report(
    context: typer.Context,
    reference: Annotated[
        str, typer.Argument(metavar="RUN|VERSION", help="Id or ARN of a run, 'latest', or number or ARN of a version.")
    ] = "latest",
    to: To = None,
    open_it: Open = False,
) -> None:
    """Fetch the report of a run's evaluation, or of a version's, to a file, and print its path."""
    from pipeline.operations.models import pages

    settings = options_of(context).connected()
    with status("fetching the report"):
        page = pages.report(settings, reference)
    _write(page, to, open_it=open_it)


@app.command(rich_help_panel=RUN)
def eda(
    context: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id or ARN of a run, or 'latest'.")] = "latest",
    explored: Annotated[
        bool,
        typer.Option("--explored", help="The page of ExploreData, where runs have that step, not of QueryMetadata."),
    ] = False,
    to: To = None,
    open_it: Open = False,
) -> None:
    """Fetch the page about the data of a run to a file, and print its path."""
    from pipeline.operations.models import pages

    settings = options_of(context).connected()
    with status("fetching the page"):
        page = pages.exploration(settings, run) if explored else pages.eda(settings, run)
    _write(page, to, open_it=open_it)


def _write(page: Page, to: Path | None, *, open_it: bool) -> None:
    from pipeline.operations.models import pages

    path = pages.write(page, to or FOLDER / f"{page.subject}.html")
    typer.echo(str(path))
    if open_it:
        show_in_browser(path)


def show_in_browser(path: Path) -> None:
    """Open a page in a browser; raises typer.Exit(1) where this machine has none."""
    import webbrowser

    if not webbrowser.open(path.as_uri()):
        complain("there is no browser here; open the file on a machine that has one")
        raise typer.Exit(1)
