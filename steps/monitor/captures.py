"""Requests to the endpoint and its answers: SageMaker's data capture, streamed from S3 line by line.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
"""

from __future__ import annotations

import base64
import json
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from steps.contracts.invocation import JPEG_TYPES, JSON_TYPE, jpeg_of_text, media_type
from steps.contracts.s3_uri import S3Uri
from steps.runtime.s3 import list_objects, open_store, send

log = logging.getLogger(__name__)

# A request has at most 6 MB, in base64 a third more, and the line contains its answer too.
LONGEST_LINE = 16 * 1024 * 1024
CHUNK = 1024 * 1024
DAMAGED, OTHER, LONG = "damaged line", "other content type", "line too long"
UNPAIRED = "different numbers of photos and answers"


@dataclass(frozen=True)
class Answer:
    """The endpoint's answer to a photo; `sure` and `prediction_set` are None for a model without a calibration."""

    count: int
    confidence: float
    model_version: str
    sure: bool | None = None
    prediction_set: tuple[int, ...] | None = None


@dataclass(frozen=True)
class CapturedPhoto:
    """A photo and the endpoint's answer to it.

    `inference_id` is the id that the caller gave the request, empty without; all `photos_in_request` share it.
    """

    event: str
    at: datetime
    jpeg: bytes = field(repr=False)
    answer: Answer
    inference_id: str = ""
    photos_in_request: int = 1


def hours_of(until: datetime, hours: int) -> list[str]:
    """Folders `yyyy/mm/dd/hh` (UTC) of the hours that the window overlaps and of the next one, oldest first.

    Captures are written in batches: the last ones of an hour may be in the folder of the next hour, when they were
    written.
    """
    start = (until.astimezone(UTC) - timedelta(hours=hours)).replace(minute=0, second=0, microsecond=0)
    times = (start + timedelta(hours=hour) for hour in range(hours + 2))
    return [time.strftime("%Y/%m/%d/%H") for time in times if time < until + timedelta(hours=1)]


def read(folder: S3Uri, until: datetime, hours: int, refused: Counter[str]) -> Iterator[CapturedPhoto]:
    """Every photo that the endpoint counted in the `hours` before `until`, in the order of the files.

    `folder` contains the folders of the hours. A capture belongs to the window by its own time. Captures that cannot be
    used are counted in `refused` by reason.
    """
    start = until - timedelta(hours=hours)
    store = open_store(folder.bucket)
    for hour in hours_of(until, hours):
        for key, _ in list_objects(folder.join(hour)):
            for line in _lines(store, key, refused):
                yield from _photos_of(line, start, until, refused)


def _lines(store: Any, key: str, refused: Counter[str]) -> Iterator[bytes]:
    """Lines of an object; at most one line and one chunk are in memory."""
    import obstore

    rest, skipping = b"", False
    for chunk in send(lambda: obstore.get(store, key)).stream(min_chunk_size=CHUNK):
        rest += bytes(chunk)
        *lines, rest = rest.split(b"\n")
        for line in lines:
            if not skipping and line:
                yield line
            skipping = False
        if len(rest) > LONGEST_LINE:
            if not skipping:
                refused[LONG] += 1
            rest, skipping = b"", True
    if rest and not skipping:
        yield rest


def _photos_of(line: bytes, start: datetime, until: datetime, refused: Counter[str]) -> Iterator[CapturedPhoto]:
    try:
        document = json.loads(line)
        metadata = document["eventMetadata"]
        event, at = str(metadata["eventId"]), datetime.fromisoformat(metadata["inferenceTime"])
        # "inferenceId" is the InferenceId of InvokeEndpoint, and absent where the caller gave none:
        # https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-merge.html
        inference_id = str(metadata.get("inferenceId", ""))
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
    for jpeg, answer in zip(photos, answers, strict=True):
        yield CapturedPhoto(event, at, jpeg, answer, inference_id, len(photos))


class _OtherContentError(Exception):
    """A request with a content type that this pipeline's container does not accept."""


def _content(side: dict[str, Any]) -> bytes:
    data = side["data"]
    return base64.b64decode(data, validate=True) if side["encoding"] == "BASE64" else data.encode()


def _photos(content_type: str, body: bytes) -> list[bytes]:
    kind = media_type(content_type)
    if kind in JPEG_TYPES:
        return [body]
    if kind != JSON_TYPE:
        raise _OtherContentError
    document = json.loads(body)
    encoded = document["images"] if "images" in document else [document["image"]]
    return [jpeg_of_text(photo) for photo in encoded]


def _answers(body: bytes) -> list[Answer]:
    document = json.loads(body)
    return [_answer(prediction) for prediction in document.get("predictions", [document])]


def _answer(prediction: dict[str, Any]) -> Answer:
    count = int(prediction["count"])
    sure, members = prediction.get("sure"), prediction.get("prediction_set")
    return Answer(
        count,
        float(prediction["probabilities"][str(count)]),
        str(prediction["model_version"]),
        None if sure is None else bool(sure),
        None if members is None else tuple(int(member) for member in members),
    )
