"""Photos of a version's evaluation: its largest errors, and the golden photos that test the endpoint."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from typing import Any

from pipeline.aws.objects import fetch
from pipeline.clients import client
from pipeline.operations.dataset import photos
from pipeline.operations.models import predicted
from pipeline.operations.models.details import Details
from pipeline.operations.models.registry import Version
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError, StepError

# As many as the report shows.
ERRORS_SHOWN = 12
# Photos of the test split that a person can send to the endpoint.
SAMPLES = 8


@dataclass(frozen=True)
class Counted:
    """A photo of the test split: its true quantity and the evaluation's count.

    `confidence` is the probability of the model's likeliest count.
    """

    image_id: str
    quantity: int
    predicted: int
    confidence: float


@dataclass(frozen=True)
class GoldenPhoto:
    """A photo with the count and the probabilities that an endpoint with this model has to answer."""

    image_id: str
    count: int
    probabilities: tuple[tuple[str, float], ...]
    jpeg: bytes = field(repr=False)


def largest_errors(settings: Settings, version: Version, limit: int = ERRORS_SHOWN) -> tuple[Counted, ...]:
    """The largest errors, and among equal ones the most confident first, as in the report.

    Raises PipelineError where the predictions do not exist any more, or are damaged.
    """
    wrong = [photo for photo in _predictions(settings, version) if photo.predicted != photo.quantity]
    wrong.sort(key=lambda photo: (-abs(photo.quantity - photo.predicted), -photo.confidence, photo.image_id))
    return tuple(wrong[:limit])


def of_test_split(settings: Settings, version: Version, limit: int = SAMPLES) -> tuple[Counted, ...]:
    """Photos of the test split of a version's evaluation, by quantity: equally many of each where there are as many.

    They are the same at each look. Raises PipelineError as `largest_errors` does.
    """
    by_quantity: dict[int, list[Counted]] = defaultdict(list)
    for photo in sorted(_predictions(settings, version), key=lambda photo: _shuffled(photo.image_id)):
        by_quantity[photo.quantity].append(photo)
    rounds = zip_longest(*(by_quantity[quantity] for quantity in sorted(by_quantity)))
    chosen = islice((photo for each in rounds for photo in each if photo is not None), limit)
    return tuple(sorted(chosen, key=lambda photo: photo.quantity))


def _shuffled(image_id: str) -> str:
    """A place that has nothing to do with the id's order: ids near each other may be photos of the same bin."""
    return hashlib.sha256(image_id.encode()).hexdigest()


def _predictions(settings: Settings, version: Version) -> list[Counted]:
    """All photos of the evaluation. Raises PipelineError where they do not exist any more, or are damaged."""
    columns = ("image_id", "quantity", "predicted", "probabilities")
    table = predicted.read(settings, version, columns)
    if table is None:
        raise PipelineError(f"the predictions of {version.name} no longer exist")
    return [
        Counted(image_id, quantity, count, max(probabilities))
        for image_id, quantity, count, probabilities in zip(*(table[name].to_pylist() for name in columns), strict=True)
    ]


def golden_photos(settings: Settings, details: Details) -> tuple[GoldenPhoto, ...]:
    """The golden photos of a version, by count.

    Raises PipelineError where they do not exist any more, are damaged, or were changed after the registration.
    """
    uri = details.golden_uri
    content = _content(settings, uri, "golden photos") if uri else None
    if content is None:
        raise PipelineError("the version has no golden photos" + (f": there is no {uri} any more" if uri else ""))
    if details.golden_sha256 and hashlib.sha256(content).hexdigest() != details.golden_sha256:
        raise PipelineError(f"{uri} was changed after the registration of the version; reject the version")
    try:
        return tuple(_golden(photo) for photo in json.loads(content)["photos"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise PipelineError(f"{uri}: no golden photos ({error!r}); restore the file") from error


def _golden(photo: dict[str, Any]) -> GoldenPhoto:
    likeliest = sorted(photo["probabilities"].items(), key=lambda item: -float(item[1]))
    return GoldenPhoto(
        image_id=str(photo["image_id"]),
        count=int(photo["count"]),
        probabilities=tuple((str(count), float(share)) for count, share in likeliest),
        jpeg=base64.b64decode(photo["jpeg"], validate=True),
    )


def original(settings: Settings, details: Details, image_id: str) -> bytes | None:
    """The raw photo of an id in the image location of the version's run; None where there is none, or no location.

    Raises PipelineError for a file that is no JPEG, or larger than a photo of a run may be.
    """
    return photos.find(settings, details.parameters.get("ImageLocation", ""), image_id)


def _content(settings: Settings, uri: str, what: str) -> bytes | None:
    try:
        return fetch(client(settings, "s3"), uri)
    except StepError as error:
        raise PipelineError(f"the {what}: {error}") from error
