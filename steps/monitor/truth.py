"""The answers of an earlier window, compared with the true counts that have arrived since.

A request's InferenceId, which `predict` sets to the photo's id, is in its capture, and joins it with the true count:
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-merge.html

True counts are late. So the window for them ends `truth_delay_hours` before the window of the drift, with the same
length: a monitor that is due once per window reads each capture twice, once for the drift and once for the truth.
"""

from __future__ import annotations

import logging
import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import IO

from steps.contracts import truth_table
from steps.contracts.drift import Truth
from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.monitor import captures
from steps.monitor.captures import Answer
from steps.monitor.settings import Settings
from steps.photos.statistics import Levels
from steps.runtime.s3 import list_objects, open_store, s3_errors, send

log = logging.getLogger(__name__)

CHUNK = 8 * 1024 * 1024


@dataclass
class Answers:
    """The answers of a window by the photo's id, and the numbers of photos that have none, by reason."""

    by_id: dict[str, Answer] = field(default_factory=dict)
    times: dict[str, datetime] = field(default_factory=dict)
    answered: int = 0
    without_id: int = 0
    in_several: int = 0
    other_versions: int = 0
    refused: Counter[str] = field(default_factory=Counter)


def measure(settings: Settings, version: str, levels: Levels | None) -> Truth:
    """Compare the answers of `version` in the window for true counts with these; `levels` are its calibration's.

    Raises StepError for a table that cannot be read, and for a photo with two true counts, which it names.
    """
    until = settings.until - timedelta(hours=settings.truth_delay_hours)
    answers = read_answers(settings, version, until)
    location = S3Uri.parse(settings.truth)
    counts = read_counts(location, answers.by_id) if answers.by_id else {}
    return _compared(settings, until, answers, counts, levels)


def read_answers(settings: Settings, version: str, until: datetime) -> Answers:
    """The last answer of `version` to each photo with an id, in the hours before `until`. No photo stays in memory."""
    folder = S3Uri.parse(settings.captures).join(settings.endpoint, settings.variant)
    answers = Answers()
    for photo in captures.read(folder, until, settings.hours, answers.refused):
        if photo.answer.model_version != version:
            answers.other_versions += 1
            continue
        answers.answered += 1
        if photo.photos_in_request > 1:
            answers.in_several += 1
        elif not photo.inference_id:
            answers.without_id += 1
        elif photo.inference_id not in answers.times or answers.times[photo.inference_id] <= photo.at:
            answers.by_id[photo.inference_id] = photo.answer
            answers.times[photo.inference_id] = photo.at
    return answers


def read_counts(location: S3Uri, wanted: Mapping[str, Answer]) -> dict[str, int]:
    """The true counts of the photos `wanted`, by id; only these are in memory, however large the tables are.

    Raises StepError for a table that cannot be read, and for a photo with two true counts.
    """
    counts: dict[str, int] = {}
    places: dict[str, str] = {}
    for table in truth_table.tables(location, _keys(location)):
        with tempfile.TemporaryFile(prefix="truth-") as file:
            _copy(table, file)
            for image_id, quantity, line in truth_table.rows(file, str(table), wanted):
                place = f"{table}, {line}"
                if counts.setdefault(image_id, quantity) != quantity:
                    raise StepError(
                        f"{place}: image {image_id!r} has quantity {quantity}, and {counts[image_id]} in"
                        f" {places[image_id]}; correct one of them"
                    )
                places.setdefault(image_id, place)
    return counts


def _keys(location: S3Uri) -> Iterator[str]:
    """The keys at a location. Raises StepError where it cannot be listed."""
    from botocore.exceptions import ClientError

    try:
        yield from (key for key, size in list_objects(truth_table.listed_prefix(location)) if size)
    except ClientError as error:
        reason = f"{error.response['Error']['Code']}, {error.response['Error']['Message']}"
        raise StepError(
            f"{location}: the true counts cannot be listed: {reason}; set monitoring.truth to another location, or let"
            " bootstrap give the monitor's role access to this one"
        ) from error


def _copy(table: S3Uri, file: IO[bytes]) -> None:
    """Copy a table to a file on the job's disk: memory is for chunks alone, and Parquet is read from its end."""
    import obstore

    with s3_errors(table, "reading"):
        store = open_store(table.bucket)
        for chunk in send(lambda: obstore.get(store, table.key)).stream(min_chunk_size=CHUNK):
            file.write(chunk)
    file.seek(0)


def _compared(
    settings: Settings, until: datetime, answers: Answers, counts: Mapping[str, int], levels: Levels | None
) -> Truth:
    pairs = [(answers.by_id[image_id], quantity) for image_id, quantity in counts.items()]
    right = [answer.count == quantity for answer, quantity in pairs]
    sure = [answer.count == quantity for answer, quantity in pairs if answer.sure]
    covered = [quantity in answer.prediction_set for answer, quantity in pairs if answer.prediction_set is not None]
    squares = [(answer.count - quantity) ** 2 for answer, quantity in pairs]
    truth = Truth(
        location=settings.truth,
        since=until - timedelta(hours=settings.hours),
        until=until,
        answered=answers.answered,
        photos=len(pairs),
        without_truth=len(answers.by_id) - len(pairs),
        without_id=answers.without_id,
        in_several=answers.in_several,
        other_versions=answers.other_versions,
        refused=dict(answers.refused),
        minimum_photos=settings.minimum_true_photos,
        accuracy=_share(right),
        rmse=math.sqrt(math.fsum(squares) / len(squares)) if squares else None,
        sure_photos=len(sure),
        sure_accuracy=_share(sure),
        sure_level=levels.sure if levels else None,
        set_photos=len(covered),
        set_coverage=_share(covered),
        level=levels.sets if levels else None,
        minimum_accuracy=settings.minimum_accuracy or None,
        minimum_set_coverage=settings.minimum_set_coverage or None,
        minimum_sure_accuracy=settings.minimum_sure_accuracy or None,
    )
    log.info("truth: %s of %s photos have a true count; accuracy %s", truth.photos, truth.answered, truth.accuracy)
    return truth


def _share(hits: list[bool]) -> float | None:
    return sum(hits) / len(hits) if hits else None
