"""Counting the objects in photos with the endpoint."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.aws import errors as aws_errors
from pipeline.aws.responses import says_missing
from pipeline.clients import client
from pipeline.operations.serving import endpoint
from pipeline.operations.serving.photos import Photo, Reader, check_jpeg
from pipeline.parallel import bounded_map
from pipeline.settings import Settings
from steps.contracts import photo_files
from steps.contracts.errors import PipelineError

# InferenceId in botocore's model of InvokeEndpoint: 1 to 64 printable characters, no blank first. It is a header, so a
# blank at its end would get lost.
_INFERENCE_ID = re.compile(r"[!-~](?:[ -~]{0,62}[!-~])?")


@dataclass(frozen=True)
class Prediction:
    """The model's answer to a photo: the count, its expected value, and the probability of each count.

    `sure` is whether the count needs no person, and `prediction_set` the counts among which the truth is at the model's
    level; None in the answers of models without a calibration.
    `milliseconds` are from the request to the answer; None for an answer of a batch, which nobody has timed.
    """

    source: str
    count: int
    expected: float
    probabilities: Mapping[int, float]
    model_version: str
    milliseconds: float | None
    sure: bool | None = None
    prediction_set: tuple[int, ...] | None = None

    @property
    def confidence(self) -> float:
        """The probability of the returned count."""
        return self.probabilities.get(self.count, 0.0)


@dataclass(frozen=True)
class NotCounted:
    """A photo without an answer, with the reason."""

    source: str
    reason: str


Answer = Prediction | NotCounted


def predict(settings: Settings, reader: Reader, names: Iterable[str], *, concurrency: int = 4) -> Iterator[Answer]:
    """Send each named photo to the endpoint, `concurrency` at a time; answers come in the order of the names.

    A photo that cannot be read, that the model refuses, or whose answer does not come in time becomes a NotCounted.
    Raises PipelineError where there is no endpoint, and botocore's ClientError or ConnectionError for other errors that
    concern all photos.
    """
    from botocore.exceptions import ConnectTimeoutError, HTTPClientError, IncompleteReadError

    runtime = client(settings, "sagemaker-runtime")

    def answer(name: str) -> Answer:
        source = printable(name)
        try:
            photo = reader.read(name)
        except PipelineError as error:
            return NotCounted(source, printable(str(error)).removeprefix(f"{source}: "))
        except (HTTPClientError, ConnectTimeoutError, IncompleteReadError) as error:
            return NotCounted(source, f"cannot be read: {printable(str(error))}")
        return _answer(settings, runtime, source, photo)

    # Only a few photos are read ahead: a folder may be larger than the memory.
    return bounded_map(answer, names, workers=concurrency, window=2 * concurrency)


def count(settings: Settings, photo: Photo) -> Answer:
    """Send one photo to the endpoint.

    NotCounted where the model refuses it, and where it is no JPEG within the endpoint's limits.

    Raises as `predict` does.
    """
    try:
        check_jpeg(photo, settings.endpoint.mode)
    except PipelineError as error:
        return NotCounted(photo.source, str(error).removeprefix(f"{photo.source}: "))
    return _answer(settings, client(settings, "sagemaker-runtime"), photo.source, photo)


def _answer(settings: Settings, runtime: Any, source: str, photo: Photo) -> Answer:
    from botocore.exceptions import ConnectTimeoutError, HTTPClientError, IncompleteReadError

    try:
        return _invoke(settings, runtime, source, photo)
    except (HTTPClientError, ConnectTimeoutError, IncompleteReadError) as error:
        # boto3 has tried again already.
        return NotCounted(source, f"no answer: {error}")


def printable(name: str) -> str:
    """A file's name as text that can be written: bytes that are not UTF-8 become `\\udcXX`."""
    return name.encode("utf-8", "backslashreplace").decode()


def inference_id(source: str) -> str:
    """The id of the request for a photo: the photo's own, by which the monitor finds its true count later.

    That is the file's name without its suffix; empty for a file that is no photo by its name, and for a name that is no
    InferenceId, as it is too long or not ASCII.
    """
    image_id = photo_files.photo_id(source.rpartition("/")[2]) or ""
    return image_id if _INFERENCE_ID.fullmatch(image_id) else ""


def _invoke(settings: Settings, runtime: Any, source: str, photo: Photo) -> Answer:
    from botocore.exceptions import ClientError

    request = {
        "EndpointName": settings.endpoint.name,
        "ContentType": "image/jpeg",
        "Accept": "application/json",
        "Body": photo.data,
    }
    if identity := inference_id(photo.source):
        request["InferenceId"] = identity
    started = time.perf_counter()
    try:
        response = runtime.invoke_endpoint(**request)
    except ClientError as error:
        return NotCounted(source, _refusal(settings, error))
    body = response["Body"].read()
    return parse(source, body, milliseconds=(time.perf_counter() - started) * 1000)


def parse(source: str, body: bytes, milliseconds: float | None = None) -> Answer:
    """The container's answer about a photo: a Prediction, or NotCounted for an error and for any other content."""
    try:
        answer = json.loads(body)
        if "error" in answer:
            return NotCounted(source, str(answer["error"]))
        return Prediction(
            source=source,
            count=int(answer["count"]),
            expected=float(answer["expected"]),
            probabilities={int(count): float(p) for count, p in answer["probabilities"].items()},
            model_version=str(answer.get("model_version", "")),
            milliseconds=milliseconds,
            sure=None if (sure := answer.get("sure")) is None else bool(sure),
            prediction_set=None if (members := answer.get("prediction_set")) is None else tuple(map(int, members)),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return NotCounted(source, f"not an answer of this pipeline's model: {body[:200]!r}")


def _refusal(settings: Settings, error: Any) -> str:
    """The reason why a photo was refused. Raises errors that do not concern a single photo."""
    message = aws_errors.message_of(error)
    if aws_errors.code_of(error) == "ModelError":
        # The container's own answer; SageMaker's message adds advice on CloudWatch.
        status, original = error.response.get("OriginalStatusCode"), error.response.get("OriginalMessage")
        return f"the model answered {status}: {_error_of(original or message)}"
    # An endpoint that is being created is "not found" too.
    if says_missing(error) or "not inservice" in message.lower():
        raise PipelineError(endpoint.unavailable(settings))
    raise error


def _error_of(original: str) -> str:
    try:
        return str(json.loads(original)["error"])
    except (ValueError, KeyError, TypeError):
        return original
