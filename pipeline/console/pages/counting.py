"""A photo for the endpoint: what was sent, and the answer to it. Nothing of it is stored."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from pipeline.console.console import Console
from pipeline.console.pages import model_reads
from pipeline.console.parts import part
from pipeline.console.uploads import Sent
from pipeline.operations.importing.pictures import PictureError, as_jpeg
from pipeline.operations.models import pictures
from pipeline.operations.serving import predictions
from pipeline.operations.serving.endpoint import Endpoint
from pipeline.operations.serving.photos import Photo
from pipeline.operations.serving.predictions import NotCounted, Prediction
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from steps.reports.charts import Bar, Drawing, bars

# A file's first bytes decide, not its name.
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Counted:
    """A photo and its count.

    `prediction` is None where there is a `problem`. `expected` is what the evaluation has of a photo of the test split.
    `picture` is the photo as the address of an image; empty where it is none that a browser shows.
    """

    name: str
    prediction: Prediction | None = None
    problem: str = ""
    expected: pictures.Counted | None = None
    converted: bool = False
    picture: str = ""

    @property
    def chart(self) -> Drawing:
        """The probability of each count; the answered count is full, the others are faint."""
        prediction = self.prediction
        if prediction is None:
            return Drawing("")
        data = [
            Bar(str(quantity), share, faint=quantity != prediction.count)
            for quantity, share in prediction.probabilities.items()
        ]
        return bars("Probability of each count", "count", "", data, percent=True)


def count(console: Console, sent: Sent, serving: Endpoint | None) -> Counted:
    """The count of the photo that was sent, or of the photo of the test split that was picked."""
    picked = sent.fields.get("test", "")
    name = f"{picked}.jpg" if picked else predictions.printable(sent.name) or "the photo"
    read = part(console, lambda: _counted(console, sent, picked, name, serving))
    counted: Counted = read.value or Counted(name, problem=read.problem)
    return counted


def _counted(console: Console, sent: Sent, picked: str, name: str, serving: Endpoint | None) -> Counted:
    """Raises PipelineError where there is no photo or no endpoint."""
    expected = _expected(console, picked, serving) if picked else None
    content = _original(console, picked, serving) if picked and serving else sent.content
    if not content:
        raise PipelineError("choose a photo first: a JPEG or a PNG")
    if not content.startswith((_JPEG, _PNG)):
        raise PipelineError(f"{name} is neither a JPEG nor a PNG, by its content; choose another file")
    converted = content.startswith(_PNG)
    if converted:
        content = _converted(name, content)
    picture = f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"
    answer = predictions.count(console.settings, Photo(name, content))
    if isinstance(answer, NotCounted):
        return Counted(name, problem=f"{name} has no count: {answer.reason}", expected=expected, converted=converted)
    return Counted(name, answer, expected=expected, converted=converted, picture=picture)


def _converted(name: str, content: bytes) -> bytes:
    try:
        return as_jpeg(content).jpeg
    except PictureError as error:
        raise PipelineError(f"{name}: {error}") from error


def _expected(console: Console, image_id: str, serving: Endpoint | None) -> pictures.Counted:
    """What the evaluation has of the photo. Raises PipelineError for an id that the page does not offer."""
    offered = model_reads.test_split(console, serving.package) if serving and serving.package else None
    for photo in (offered.value if offered else None) or ():
        if photo.image_id == image_id:
            expected: pictures.Counted = photo
            return expected
    raise PipelineError(f"{image_id} is none of the photos of the test split on this page; choose one of them")


def _original(console: Console, image_id: str, serving: Endpoint) -> bytes:
    """The raw photo. Raises PipelineError where it does not exist any more."""
    settings: Settings = console.settings
    recorded = model_reads.details(console, model_reads.version(console, serving.package))
    if recorded.problem:
        raise PipelineError(recorded.problem)
    content: bytes | None = pictures.original(settings, recorded.value, image_id)
    if content is None:
        raise PipelineError(f"there is no photo {image_id} in the location of the version's run any more")
    return content
