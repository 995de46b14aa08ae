"""Command: import, of own photos and of parts of the data set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import DEFINE, Options, app, options_of
from pipeline.cli.output import AsJson, note, show, warn, write_json

if TYPE_CHECKING:
    from pipeline.operations.importing.destination import Destination
    from pipeline.operations.importing.work import Item, Outcome
    from steps.contracts.photo_files import LeftOut


@app.command(name="import", rich_help_panel=DEFINE)
def import_photos(  # noqa: PLR0917  # a command's options
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER",
            help="Folder of photos, or a folder, a tar or an s3:// prefix with bin-images/ and metadata/.",
        ),
    ],
    destination: Annotated[str, typer.Argument(metavar="DESTINATION", help="Folder, or s3://BUCKET/PREFIX.")],
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, exists=True, help="CSV with a photo and its quantity per line."),
    ] = None,
    group: Annotated[
        str, typer.Option(metavar="COLUMN", help="Column of the CSV: photos with the same value show the same bin.")
    ] = "",
    listed: Annotated[
        Path | None,
        typer.Option(
            "--list",
            metavar="FILE",
            dir_okay=False,
            exists=True,
            help="JSON with ids by their quantity, such as file_list.json; only these photos are imported.",
        ),
    ] = None,
    prefix: Annotated[str, typer.Option(help="Beginning of each id, to keep photos of two folders apart.")] = "",
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace other photos that have the same ids at the destination.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read everything and write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring photos and labels into the layout of the raw data: JPEG, PNG, HEIC and others; see docs/own-photos.md.

    An import that was interrupted continues when it is run again. Exit status 1 if no photo could be imported.
    """
    from pipeline.cli.views import importing as view
    from pipeline.operations.importing import work

    _check(labels, group, listed, prefix)
    target = _destination(options_of(context), destination, source)
    result = work.Result()
    items = _items(source, labels, group, listed, prefix, [Path(destination).expanduser()], result.left_out)
    outcomes = work.carry_out(items, target, replace=replace, dry=dry_run)
    for outcome in _with_progress(outcomes, "reading" if dry_run else "importing"):
        result.add(outcome)
    if as_json:
        write_json(view.flat(result, dry=dry_run))
    else:
        show(*view.page(result, destination, dry=dry_run))
    if not result.quantities:
        raise typer.Exit(1)
    if labels and not group:
        warn("without --group nobody knows which photos show the same bin; see docs/own-photos.md")
    if not as_json and not dry_run:
        note(options_of(context).pasted(view.next_step(destination)))


def _check(labels: Path | None, group: str, listed: Path | None, prefix: str) -> None:
    from pipeline.operations.importing import matching

    if labels and listed:
        raise typer.BadParameter("--labels and --list both name quantities; leave one of them out")
    if group and not labels:
        raise typer.BadParameter("--group is a column of the file of --labels, which is missing")
    matching.check_prefix(prefix)


def _items(  # noqa: PLR0917  # a command's options
    source: str,
    labels: Path | None,
    group: str,
    listed: Path | None,
    prefix: str,
    passed_over: list[Path],
    left_out: LeftOut,
) -> Iterator[Item]:
    """The photos to import: those of a plain folder by their labels, or bins with metadata of their own."""
    from pipeline.operations.importing import labels as labelling
    from pipeline.operations.importing import matching, work
    from pipeline.samples.layout import METADATA
    from pipeline.samples.sources import open_source

    is_plain = Path(source).expanduser().is_dir() and not (Path(source).expanduser() / METADATA).is_dir()
    if labels or (listed and is_plain):
        folder = work.checked_folder(source)
        named = labelling.read_csv(labels, group) if labels else labelling.read_list(listed or Path())
        others = [*passed_over, *(path for path in (labels, listed) if path)]
        photos = matching.own_photos(folder, named, prefix=prefix, passed_over=others, left_out=left_out)
        return work.of_own_photos(photos)
    if is_plain:
        raise typer.BadParameter("photos without metadata need --labels FILE or --list FILE; see docs/own-photos.md")
    if prefix:
        raise typer.BadParameter("--prefix is for photos with --labels; photos with metadata keep their ids")
    quantities = work.quantities_of(labelling.read_list(listed), left_out) if listed else None
    return work.of_bins(open_source(source, ids=quantities), quantities, left_out)


def _destination(options: Options, text: str, source: str) -> Destination:
    from pipeline.clients import client
    from pipeline.operations.importing.destination import Folder, Prefix
    from steps.contracts.errors import PipelineError
    from steps.contracts.s3_uri import S3Uri, location

    if text.startswith("s3://"):
        place = S3Uri.parse(location(text))  # a run reads the photos from there
        return Prefix(client(options.connected(), "s3"), place)
    path = Path(text).expanduser()
    if path.exists() and not path.is_dir():
        raise PipelineError(f"{text}: is a file; name a folder or s3://BUCKET/PREFIX")
    if path.resolve() == Path(source).expanduser().resolve():
        raise PipelineError(f"{text}: is the folder of the photos; name another one")
    return Folder(path)


def _with_progress(outcomes: Iterator[Outcome], title: str) -> Iterator[Outcome]:
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield from outcomes
        return
    columns = (SpinnerColumn(), TextColumn(title), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)
        for outcome in outcomes:
            bar.advance(task)
            yield outcome
