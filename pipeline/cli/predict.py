"""Commands: predict, batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import RELEASE, app, options_of
from pipeline.cli.output import AsJson, complain, goes_on, show, status, warn, write_json
from pipeline.cli.recounting import Expected, Listed, Outputs, Page, show_recount

if TYPE_CHECKING:
    from pipeline.operations.serving.batch import BatchJob
    from pipeline.operations.serving.predictions import Answer
    from pipeline.operations.serving.records import Records
    from pipeline.settings import Settings

Csv = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE", dir_okay=False, help="Write the counts to this file.")
]
# More photos than this are summed up by their count.
ROWS_SHOWN = 40


@app.command(rich_help_panel=RELEASE)
def predict(  # noqa: PLR0917  # a command's options
    context: typer.Context,
    photos: Annotated[
        list[str],
        typer.Argument(metavar="PHOTO", help="JPEG files, folders of JPEG files, or s3:// objects and prefixes."),
    ],
    concurrency: Annotated[int, typer.Option(min=1, max=32, help="Number of photos sent at the same time.")] = 4,
    csv_file: Csv = None,
    expected: Expected = "",
    recount: Listed = None,
    page: Page = None,
    as_json: AsJson = False,
) -> None:
    """Count the objects in photos with the endpoint. Exit status 1 if a photo has no count."""
    from pipeline.operations.serving import predictions
    from pipeline.operations.serving import records as recording
    from pipeline.operations.serving.photos import Reader

    outputs = Outputs(csv_file, recount, page, as_json)
    outputs.check(expected)
    settings = options_of(context).connected()
    reader = Reader(settings)
    names = reader.names(photos)
    if left_out := reader.left_out.sentence():
        warn(f"left out: {left_out}")
    records = recording.read(settings, expected, names[0]) if expected else None
    answers = _with_progress(predictions.predict(settings, reader, names, concurrency=concurrency), len(names))
    if records:
        show_recount(answers, records, outputs, name_of=lambda answer: answer.source, read=reader.content)
    else:
        _show(answers, csv_file, as_json)


@app.command(rich_help_panel=RELEASE)
def batch(  # noqa: PLR0917  # a command's options
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="S3-FOLDER", help="Folder of the photos: s3://BUCKET/FOLDER.")],
    version: Annotated[str, typer.Option(help="Number or ARN of an approved version. Default: the latest.")] = "",
    output: Annotated[
        str,
        typer.Option(metavar="S3-PREFIX", help="Prefix for the answers. Default: a new one in the pipeline's bucket."),
    ] = "",
    instances: Annotated[int, typer.Option(min=1, max=100, help="Number of instances.")] = 1,
    csv_file: Csv = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the job, and show the counts.")] = True,
    expected: Expected = "",
    recount: Listed = None,
    page: Page = None,
    as_json: AsJson = False,
) -> None:
    """Count the objects in all photos below an S3 prefix with a batch transform job; no endpoint is needed."""
    from pipeline.operations.serving import batch as operation
    from pipeline.operations.serving import records as recording

    for option, is_set in (("--csv", csv_file), ("--expected", expected)):
        if is_set and not wait:
            raise typer.BadParameter(
                f"{option} needs the counts, which --no-wait does not wait for; leave one of them out"
            )
    outputs = Outputs(csv_file, recount, page, as_json)
    outputs.check(expected)
    settings = options_of(context).prepared()
    records = recording.read(settings, expected, operation.first_photo(settings, source)) if expected else None
    job = operation.start(settings, source, version=version, output=output, instances=instances)
    typer.echo(f"job {job.name}: version {job.version} over {job.source}", err=True)
    if wait:
        hint = f"to stop it: aws sagemaker stop-transform-job --transform-job-name {job.name}"
        with goes_on(f"the job {job.name}", f"its answers: {job.output}/", hint), status("counting"):
            job = operation.wait(settings, job)
    if job.status not in ("Completed", "InProgress"):
        complain(f"job {job.name}: {job.status}: {job.failure}")
        raise typer.Exit(1)
    typer.echo(f"answers: {job.output}/", err=True)
    if wait and records:
        _show_recount(settings, job, records, outputs)
    elif wait:
        _show(operation.results(settings, job), csv_file, as_json)
    elif as_json:
        write_json(job)


def _show_recount(settings: Settings, job: BatchJob, records: Records, outputs: Outputs) -> None:
    from pipeline.operations.serving import batch as operation
    from pipeline.operations.serving.photos import Reader

    reader = Reader(settings)
    show_recount(
        operation.results(settings, job),
        records,
        outputs,
        name_of=lambda answer: operation.photo_uri(job, answer.source),
        read=lambda source: reader.content(operation.photo_uri(job, source)),
    )


def _show(answers: Iterator[Answer], csv_file: Path | None, as_json: bool) -> None:
    """Show or write the answers; raises typer.Exit(1) where a photo has no count."""
    from pipeline.operations.serving.predictions import NotCounted

    if as_json:
        every = list(_written(answers, csv_file))
        write_json(every)
        failed = any(isinstance(answer, NotCounted) for answer in every)
    else:
        failed = _show_for_people(_written(answers, csv_file), hint=csv_file is None)
    if csv_file:
        typer.echo(f"wrote {csv_file}", err=True)
    if failed:
        raise typer.Exit(1)


def _show_for_people(answers: Iterator[Answer], *, hint: bool) -> bool:
    """Show each answer, or how many there are by count; whether a photo has no count."""
    from pipeline.operations.serving import batch as operation

    first: list[Answer] = []
    counts, reasons = operation.tally(_collected(answers, first))
    if len(first) <= ROWS_SHOWN:
        _show_each(first)
    else:
        from pipeline.cli.views.endpoint import counts_table

        show(counts_table(counts, reasons))
        if hint:
            typer.echo("for the count of each photo: --csv FILE", err=True)
    return bool(reasons)


def _show_each(answers: Sequence[Answer]) -> None:
    from pipeline.cli.views.endpoint import predictions_table
    from pipeline.operations.serving.predictions import NotCounted

    counted = [answer for answer in answers if not isinstance(answer, NotCounted)]
    if counted:
        show(predictions_table(counted))
    for answer in answers:
        if isinstance(answer, NotCounted):
            complain(f"{answer.source}: {answer.reason}")


def _collected(answers: Iterable[Answer], first: list[Answer]) -> Iterator[Answer]:
    """The answers; `first` gets as many as are shown and one more, by which the caller sees that there are more."""
    for answer in answers:
        if len(first) <= ROWS_SHOWN:
            first.append(answer)
        yield answer


def _written(answers: Iterator[Answer], csv_file: Path | None) -> Iterator[Answer]:
    from pipeline.operations.serving.counts_file import write_counts

    return answers if csv_file is None else write_counts(answers, csv_file)


def _with_progress(answers: Iterator[Answer], number: int) -> Iterator[Answer]:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:
        yield from answers
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("counting", total=number)
        for answer in answers:
            bar.advance(task)
            yield answer
