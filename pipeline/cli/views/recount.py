"""Views of the list of a recount."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from pipeline.cli.tables import Cell, Column, Table
from pipeline.cli.views.endpoint import sure_text
from pipeline.operations.serving.recount import Disagreement, folder_of
from pipeline.texts import ranges, share_text


def recount_page(rows: Sequence[Disagreement]) -> Iterator[RenderableType]:
    """The folder of all photos where they share one, and the table of the bins in their order."""
    folder = folder_of(rows)
    if folder:
        yield Text(f"photos in {folder}", style="dim")
    yield _table(rows, len(folder))


def _table(rows: Sequence[Disagreement], start: int) -> Table:
    """Record and count, each with its probability, and sets where the model has them; names begin at `start`."""
    is_calibrated = any(row.sure is not None for row in rows)
    table = Table(
        Column("photo", "uri"),
        Column("record", "number", 3),
        Column("count", "number", 3),
        Column("confidence", "number", 2),
        Column("p(record)", "number"),
        *([Column("sure"), Column("set", "uri")] if is_calibrated else []),
    )
    for row in rows:
        cells: list[Cell] = [row.photo[start:], str(row.recorded), Text(str(row.counted), style="bold")]
        cells += [share_text(row.confidence), share_text(row.recorded_probability)]
        if is_calibrated:
            cells += [sure_text(row.sure), ranges(row.prediction_set or ())]
        table.add_row(*cells)
    return table
