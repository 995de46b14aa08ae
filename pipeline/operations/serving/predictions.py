"""Counting the objects in photos with the endpoint."""

from __future__ import annotations

import itertools
import json
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pipeline.clients import client
from pipeline.operations.serving import endpoint
from pipeline.operations.serving.photos import Reader
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError


@dataclass(frozen=True)
class Prediction:
    """The endpoint's answer to one photo: the count, the expectation of the count, and the likelihood of each count."""

    source: str
    count: int
    expected: float
    probabilities: Mapping[int, float]
    model_version: str
    milliseconds: float

    @property
    def confidence(self) -> float:
        """The likelihood that the model gives to the count it answered."""
        return self.probabilities.get(self.count, 0.0)


@dataclass(frozen=True)
class NotCounted:
    """A photo without an answer, and why."""

    source: str
    reason: str


Answer = Prediction | NotCounted


def predict(settings: Settings, reader: Reader, names: Iterable[str], *, concurrency: int = 4) -> Iterator[Answer]:
    """Send each named photo to the endpoint, `concurrency` at a time; answers come in the order of the names.

    A photo that cannot be read, that the model refuses, or whose answer does not come in time is a NotCounted and the
    others go on. Raises PipelineError where there is no endpoint, and botocore's ClientError or ConnectionError for
    whatever else concerns all photos alike.
    """
    from botocore.exceptions import ConnectTimeoutError, HTTPClientError, IncompleteReadError

    runtime = client(settings, "sagemaker-runtime")

    def answer(source: str) -> Answer:
        try:
            photo = reader.read(source)
        except PipelineError as error:
            return NotCounted(source, str(error).removeprefix(f"{source}: "))
        except (HTTPClientError, ConnectTimeoutError, IncompleteReadError) as error:
            return NotCounted(source, f"cannot be read: {error}")
        try:
            return _invoke(settings, runtime, source, photo.data)
        except (HTTPClientError, ConnectTimeoutError, IncompleteReadError) as error:
            # boto3 has tried again already.
            return NotCounted(source, f"no answer: {error}")

    remaining = iter(names)
    with ThreadPoolExecutor(concurrency) as pool:
        # Few photos are ahead of the answer that is waited for: a folder may hold more than memory does.
        pending: deque[Future[Answer]] = deque(
            pool.submit(answer, source) for source in itertools.islice(remaining, 2 * concurrency)
        )
        try:
            while pending:
                yield pending.popleft().result()
                pending.extend(pool.submit(answer, source) for source in itertools.islice(remaining, 1))
        finally:
            for future in pending:
                future.cancel()


def _invoke(settings: Settings, runtime: Any, source: str, data: bytes) -> Answer:
    from botocore.exceptions import ClientError

    started = time.perf_counter()
    try:
        response = runtime.invoke_endpoint(
            EndpointName=settings.endpoint.name, ContentType="image/jpeg", Accept="application/json", Body=data
        )
    except ClientError as error:
        return NotCounted(source, _refusal(settings, error))
    body = response["Body"].read()
    milliseconds = (time.perf_counter() - started) * 1000
    try:
        return prediction(source, json.loads(body), milliseconds)
    except (ValueError, KeyError, TypeError, AttributeError):
        return NotCounted(source, f"not an answer of this pipeline's model: {body[:200]!r}")


def prediction(source: str, answer: Any, milliseconds: float = 0.0) -> Prediction:
    """A Prediction of the container's answer to one photo. Raises the usual errors for what is none."""
    return Prediction(
        source=source,
        count=int(answer["count"]),
        expected=float(answer["expected"]),
        probabilities={int(count): float(p) for count, p in answer["probabilities"].items()},
        model_version=str(answer.get("model_version", "")),
        milliseconds=milliseconds,
    )


def _refusal(settings: Settings, error: Any) -> str:
    """What a failed call means for its photo. Raises what is no photo's fault."""
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    if code == "ModelError":
        # The container's own answer; the service's message wraps it in advice on CloudWatch.
        status, original = error.response.get("OriginalStatusCode"), error.response.get("OriginalMessage")
        return f"the model answered {status}: {_said(original or message)}"
    # An endpoint that is being created is not found either.
    unavailable = any(words in message.lower() for words in ("not found", "not inservice"))
    if code in ("ValidationError", "ValidationException") and unavailable:
        raise PipelineError(endpoint.unavailable(settings))
    raise error


def _said(original: str) -> str:
    """The error that the container's JSON holds, or all of it."""
    try:
        return str(json.loads(original)["error"])
    except (ValueError, KeyError, TypeError):
        return original
