"""Commands: predict, batch."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import RELEASE, app, options_of, status, write_json

if TYPE_CHECKING:
    from pipeline.operations.serving.predictions import Answer

Json = Annotated[bool, typer.Option("--json", help="Write JSON for machines.")]
Csv = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE", dir_okay=False, help="Write the counts to this file.")
]
# More answers than a person reads are summed up.
ROWS_SHOWN = 40


@app.command(rich_help_panel=RELEASE)
def predict(
    context: typer.Context,
    photos: Annotated[
        list[str],
        typer.Argument(metavar="PHOTO...", help="JPEG files, folders of them, or s3:// objects and prefixes."),
    ],
    concurrency: Annotated[int, typer.Option(min=1, max=32, help="Photos sent at the same time.")] = 4,
    csv_file: Csv = None,
    as_json: Json = False,
) -> None:
    """Count the objects in photos with the endpoint. Exits with 1 when a photo could not be counted."""
    from pipeline.operations.serving import predictions
    from pipeline.operations.serving.photos import Reader

    settings = options_of(context).connected()
    reader = Reader(settings)
    names = reader.names(photos)
    answers = _with_progress(predictions.predict(settings, reader, names, concurrency=concurrency), len(names))
    _show(answers, csv_file, as_json)


@app.command(rich_help_panel=RELEASE)
def batch(  # noqa: PLR0917  # a command's options
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="S3-PREFIX", help="s3://BUCKET/PREFIX with the photos.")],
    version: Annotated[str, typer.Option(help="An approved version. Default: the latest.")] = "",
    output: Annotated[str, typer.Option(metavar="S3-PREFIX", help="Default: a place of its own in the bucket.")] = "",
    instances: Annotated[int, typer.Option(min=1, max=100)] = 1,
    csv_file: Csv = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the end, and show the counts.")] = True,
    as_json: Json = False,
) -> None:
    """Count the objects in all photos below an S3 prefix with a batch transform job; no endpoint is needed."""
    from pipeline.operations.serving import batch as operation

    if csv_file and not wait:
        raise typer.BadParameter("--csv wants the counts, which --no-wait does not wait for")
    settings = options_of(context).prepared()
    job = operation.start(settings, source, version=version, output=output, instances=instances)
    typer.echo(f"job {job.name}: version {job.version} over {job.source}", err=True)
    if wait:
        with status("counting"):
            job = operation.wait(settings, job)
    if job.status not in ("Completed", "InProgress"):
        typer.secho(f"job {job.name}: {job.status}: {job.failure}", err=True, fg="red")
        raise typer.Exit(1)
    typer.echo(f"answers: {job.output}/", err=True)
    if wait:
        _show(operation.results(settings, job), csv_file, as_json)
    elif as_json:
        write_json(job)


def _show(answers: Iterator[Answer], csv_file: Path | None, as_json: bool) -> None:
    """Write the answers as they come, or show them; exit with 1 where a photo has none."""
    from pipeline.operations.serving import batch as operation
    from pipeline.operations.serving.predictions import NotCounted

    if as_json:
        found = list(_written(answers, csv_file))
        write_json(found)
        if csv_file:
            typer.echo(f"wrote {csv_file}", err=True)
        if any(isinstance(one, NotCounted) for one in found):
            raise typer.Exit(1)
        return
    shown: list[Answer] = []
    counts, reasons = operation.tally(_kept(_written(answers, csv_file), shown))
    from rich.console import Console

    from pipeline.cli.views.endpoint import counts_table
    from pipeline.cli.views.runs import predictions_table

    console = Console()
    if csv_file:
        typer.echo(f"wrote {csv_file}", err=True)
    if len(shown) <= ROWS_SHOWN:
        if counts:
            console.print(predictions_table(one for one in shown if not isinstance(one, NotCounted)), highlight=False)
        for one in shown:
            if isinstance(one, NotCounted):
                typer.secho(f"{one.source}: {one.reason}", err=True, fg="red")
    else:
        console.print(counts_table(dict(counts), dict(reasons)), highlight=False)
        if not csv_file:
            typer.echo("for each photo's count: --csv FILE", err=True)
    if reasons:
        raise typer.Exit(1)


def _kept(answers: Iterable[Answer], shown: list[Answer]) -> Iterator[Answer]:
    """The answers, of which the first are kept: one more than are shown, which tells that there are more."""
    for one in answers:
        if len(shown) <= ROWS_SHOWN:
            shown.append(one)
        yield one


def _written(answers: Iterable[Answer], csv_file: Path | None) -> Iterator[Answer]:
    from pipeline.operations.serving.predictions import NotCounted

    if csv_file is None:
        yield from answers
        return
    with csv_file.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["photo", "count", "expected", "confidence", "model_version", "error"])
        for one in answers:
            if isinstance(one, NotCounted):
                writer.writerow([one.source, "", "", "", "", one.reason])
            else:
                row = [one.source, one.count, f"{one.expected:.6f}", f"{one.confidence:.6f}", one.model_version, ""]
                writer.writerow(row)
            yield one


def _with_progress(answers: Iterator[Answer], number: int) -> Iterator[Answer]:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:
        yield from answers
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("counting", total=number)
        for one in answers:
            bar.advance(task)
            yield one
