"""What the endpoint was sent and answered: SageMaker's data capture, streamed from S3 line by line.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from steps.contracts.s3_uri import S3Uri
from steps.runtime.s3 import list_objects, open_store

log = logging.getLogger(__name__)

# A request has 6 MB at most, in base64 a third more, and its answer stands beside it.
LONGEST_LINE = 16 * 1024 * 1024
CHUNK = 1024 * 1024
DAMAGED, OTHER, UNPAIRED, LONG = "damaged line", "other content", "photos and answers do not pair", "line too long"


@dataclass(frozen=True)
class Counted:
    """A photo and the answer to it."""

    event: str
    jpeg: bytes = field(repr=False)
    count: int
    confidence: float
    model_version: str


def hours_of(until: datetime, hours: int) -> list[str]:
    """Folders `yyyy/mm/dd/hh` (UTC) of the hours that the window touches and of the next, oldest first.

    Captures are written in bunches: the last of an hour may lie in the folder of the hour in which they were written.
    """
    start = until.astimezone(UTC) - timedelta(hours=hours)
    end = until.astimezone(UTC) + timedelta(hours=1)
    first = start.replace(minute=0, second=0, microsecond=0)
    found = []
    while first < end:
        found.append(first.strftime("%Y/%m/%d/%H"))
        first += timedelta(hours=1)
    return found


def read(place: S3Uri, until: datetime, hours: int, refused: Counter[str]) -> Iterator[Counted]:
    """Every photo that was counted in the `hours` before `until`, in the order of the files.

    `place` holds the hours' folders; each capture's own time says whether it is of the window. What cannot be used is
    counted in `refused` by its reason.
    """
    start = until - timedelta(hours=hours)
    store = open_store(place.bucket)
    for hour in hours_of(until, hours):
        for key, _ in list_objects(place.join(hour)):
            for line in _lines(store, key, refused):
                yield from _counted(line, start, until, refused)


def _lines(store: Any, key: str, refused: Counter[str]) -> Iterator[bytes]:
    """Lines of an object, of which no more than one and a chunk are held."""
    import obstore

    kept, skipping = b"", False
    for chunk in obstore.get(store, key).stream(min_chunk_size=CHUNK):
        kept += bytes(chunk)
        *lines, kept = kept.split(b"\n")
        for line in lines:
            if not skipping and line:
                yield line
            skipping = False
        if len(kept) > LONGEST_LINE:
            if not skipping:
                refused[LONG] += 1
            kept, skipping = b"", True
    if kept and not skipping:
        yield kept


def _counted(line: bytes, start: datetime, until: datetime, refused: Counter[str]) -> Iterator[Counted]:
    try:
        document = json.loads(line)
        event = str(document["eventMetadata"]["eventId"])
        at = datetime.fromisoformat(document["eventMetadata"]["inferenceTime"])
        sent, received = document["captureData"]["endpointInput"], document["captureData"]["endpointOutput"]
        if not start <= at < until:
            return
        photos = _photos(str(sent.get("observedContentType", "")), _content(sent))
        answers = _answers(_content(received))
    except _OtherContentError:
        refused[OTHER] += 1
        return
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        refused[DAMAGED] += 1
        return
    if len(photos) != len(answers):
        refused[UNPAIRED] += 1
        return
    for jpeg, (count, confidence, version) in zip(photos, answers, strict=True):
        yield Counted(event, jpeg, count, confidence, version)


class _OtherContentError(Exception):
    """A request of another kind than this pipeline's container takes."""


def _content(side: dict[str, Any]) -> bytes:
    data = side["data"]
    return base64.b64decode(data, validate=True) if side["encoding"] == "BASE64" else data.encode()


def _photos(content_type: str, body: bytes) -> list[bytes]:
    kind = content_type.partition(";")[0].strip().lower()
    if kind in ("image/jpeg", "application/x-image"):
        return [body]
    if kind != "application/json":
        raise _OtherContentError
    document = json.loads(body)
    encoded = document["images"] if "images" in document else [document["image"]]
    try:
        return [base64.b64decode(one, validate=True) for one in encoded]
    except binascii.Error as error:
        raise ValueError("not base64") from error


def _answers(body: bytes) -> list[tuple[int, float, str]]:
    document = json.loads(body)
    return [_answer(one) for one in document.get("predictions", [document])]


def _answer(one: dict[str, Any]) -> tuple[int, float, str]:
    count = int(one["count"])
    return count, float(one["probabilities"][str(count)]), str(one["model_version"])
