"""The output of a comparison with records: the list of a recount as a table, JSON, CSV and a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.output import complain, note, show, warn, write_json
from steps.contracts.errors import PipelineError
from steps.contracts.wording import count_of

if TYPE_CHECKING:
    from pipeline.operations.serving.predictions import Answer
    from pipeline.operations.serving.records import Records
    from pipeline.operations.serving.recount import Recount

Expected = Annotated[
    str,
    typer.Option(
        "--expected",
        metavar="FILE|metadata",
        help="Compare the counts with these records, a CSV or Parquet file (also s3://) with image_id and quantity, or"
        " 'metadata': the JSON next to the photos. Lists the photos that disagree, the surest first.",
        show_default=False,
    ),
]
Listed = Annotated[
    Path | None,
    typer.Option("--recount", metavar="FILE.csv", dir_okay=False, help="Write the list of --expected to this file."),
]
Page = Annotated[
    Path | None,
    typer.Option(
        "--page", metavar="FILE.html", dir_okay=False, help="Write the list of --expected, with photos, as a page."
    ),
]
# Rows of the list in a terminal, and photos without a count that are named there.
ROWS_SHOWN, REASONS_SHOWN = 20, 10


@dataclass(frozen=True)
class Outputs:
    """The files of a command, and whether it writes JSON."""

    counts: Path | None = None
    recount: Path | None = None
    page: Path | None = None
    as_json: bool = False

    def check(self, expected: str) -> None:
        """Raise before anything is counted or paid for.

        Raises BadParameter for a file that needs --expected, and PipelineError for one that cannot be written, is no
        page by its name, or is another one of the command.
        """
        for option, path in (("--recount", self.recount), ("--page", self.page)):
            if path and not expected:
                raise typer.BadParameter(f"{option} needs the records that counts are compared with: --expected")
        if self.page and self.page.suffix not in (".html", ".htm"):
            raise PipelineError(f"--page {self.page}: a page is HTML; name it {self.page.with_suffix('.html')}")
        named = {Path(expected).absolute(): "--expected"} if expected else {}
        for option, path in (("--csv", self.counts), ("--recount", self.recount), ("--page", self.page)):
            if path is None:
                continue
            if other := named.get(path.absolute()):
                raise PipelineError(f"{option} {path} is the file of {other}, too; name another file")
            named[path.absolute()] = option
            _check_writable(option, path)


def _check_writable(option: str, path: Path) -> None:
    is_new = not path.exists()
    try:
        path.open("a").close()
        if is_new:
            path.unlink()
    except OSError as error:
        raise PipelineError(f"{option} {path} cannot be written ({error.strerror}); name another file") from error


def show_recount(
    answers: Iterable[Answer],
    records: Records,
    outputs: Outputs,
    name_of: Callable[[Answer], str],
    read: Callable[[str], bytes],
) -> None:
    """Compare the answers with the records, and show or write the list; `read` returns the photo of a source.

    Raises typer.Exit(1) where a photo has no count.
    """
    from pipeline.operations.serving import counts_file
    from pipeline.operations.serving import recount as operation

    recount = operation.Recount()
    comparisons = operation.compare(answers, records, name_of, recount)
    if outputs.counts:
        comparisons = counts_file.write_comparisons(comparisons, outputs.counts)
    uncounted = list(_uncounted(compared.answer for compared in comparisons))
    remarks = operation.remarks(recount, records)
    if outputs.as_json:
        write_json(operation.summary(recount, records))
    else:
        _show(recount, remarks, uncounted, hint=not (outputs.recount or outputs.page))
    _write(recount, remarks, outputs, read)
    if recount.not_counted:
        raise typer.Exit(1)


def _uncounted(answers: Iterable[Answer]) -> Iterator[str]:
    """The first photos without a count, with the reason; reads all answers."""
    from pipeline.operations.serving.predictions import NotCounted

    shown = 0
    for answer in answers:
        if isinstance(answer, NotCounted) and shown < REASONS_SHOWN:
            shown += 1
            yield f"{answer.source}: {answer.reason}"


def _show(recount: Recount, remarks: Iterable[str], uncounted: list[str], *, hint: bool) -> None:
    from pipeline.cli.views.recount import recount_page

    if rows := recount.rows(ROWS_SHOWN):
        show(*recount_page(rows))
    if more := recount.disagreeing - len(rows):
        show(f"and {more:,} more" + (", which --recount FILE.csv or --page FILE.html writes" if hint else ""))
    show(f"{recount.sentence()}.")
    for remark in remarks:
        warn(remark)
    for line in uncounted:
        complain(line)
    if more := recount.not_counted.total() - len(uncounted):
        complain(f"and {more:,} more without a count")


def _write(recount: Recount, remarks: list[str], outputs: Outputs, read: Callable[[str], bytes]) -> None:
    from datetime import UTC, datetime

    from pipeline.operations.serving import counts_file, recount_page

    if outputs.counts:
        note(f"wrote {outputs.counts}")
    if outputs.recount:
        counts_file.write_list(recount.rows(), outputs.recount)
        note(f"wrote {outputs.recount}")
        if recount.dropped:
            kept, dropped = count_of(len(recount.rows()), "photo"), count_of(recount.dropped, "less sure photo")
            warn(f"{outputs.recount} ends after {kept}; not in it: {dropped}")
    if outputs.page:
        page = recount_page.page(recount, "Bins to recount", remarks, read, datetime.now(UTC))
        try:
            outputs.page.write_text(page, encoding="utf-8")
        except OSError as error:
            raise PipelineError(f"{outputs.page} cannot be written ({error.strerror}); name another file") from error
        note(f"wrote {outputs.page}")
