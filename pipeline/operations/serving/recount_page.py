"""The list of a recount as a page for a screen or for paper: the photos of the first bins, and a table of more."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.operations.importing.pictures import PictureError, thumbnail
from pipeline.operations.serving.recount import Disagreement, Recount, folder_of
from pipeline.parallel import parallel_map
from pipeline.texts import minute, ranges, share_text
from steps.contracts.errors import PipelineError, StepError
from steps.reports.page import render

TEMPLATE = Path(__file__).with_name("recount.html.template")
# Bins with their photos on the page, about 15 kB each, and bins in the table that follows.
PHOTOS = 100
ROWS = 900
# Pixels of a photo's longer side: a card on a phone, at twice its width in print.
SIDE = 480


@dataclass(frozen=True)
class Card:
    """A bin of the list with its photo as the address of an image; empty where it cannot be shown."""

    place: int
    row: Disagreement
    picture: str


def page(recount: Recount, title: str, remarks: Sequence[str], read: Callable[[str], bytes], time: datetime) -> str:
    """The page of the list, with the photos that `read` returns by their names; it needs no script and no other file.

    A photo that cannot be read any more, or is no picture, is missing on its card.
    """
    rows = recount.rows(PHOTOS + ROWS)
    pictures = parallel_map(lambda row: _picture(row.photo, read), rows[:PHOTOS])
    versions = sorted(recount.versions)
    return render(
        TEMPLATE,
        title=title,
        sentence=recount.sentence(),
        remarks=remarks,
        folder=folder_of(rows),
        version=", ".join(versions),
        time=minute(time),
        cards=[Card(place, row, picture) for place, (row, picture) in enumerate(zip(rows, pictures, strict=False), 1)],
        rows=list(enumerate(rows[PHOTOS:], PHOTOS + 1)),
        more=recount.disagreeing - len(rows),
        is_calibrated=recount.is_calibrated,
        ranges=ranges,
        share=share_text,
    )


def _picture(photo: str, read: Callable[[str], bytes]) -> str:
    try:
        small = thumbnail(read(photo), SIDE)
    except (PipelineError, StepError, PictureError, ClientError, BotoCoreError):
        return ""  # the card says so
    return f"data:image/jpeg;base64,{base64.b64encode(small).decode()}"
