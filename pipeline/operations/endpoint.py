"""The endpoint: what it serves, and counting the objects in photos with it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.operations.responses import missing_means
from pipeline.session import client
from pipeline.settings import Settings

# InvokeEndpoint's limit for a real-time endpoint (the maximum of BodyBlob in the service's model).
PAYLOAD_LIMIT = 6_291_456
_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
# Cameras pad behind the end marker; the steps look for it in as many bytes.
_JPEG_TAIL = 1024
_SUFFIXES = (".jpg", ".jpeg")


@dataclass(frozen=True)
class Endpoint:
    """An endpoint as it stands. `package` is the ARN of the model package that it serves."""

    name: str
    status: str
    config: str
    package: str
    changed: datetime
    failure: str = ""

    @property
    def version(self) -> int | None:
        """The version of the model package."""
        number = self.package.rsplit("/", 1)[-1]
        return int(number) if number.isdecimal() else None


@dataclass(frozen=True)
class Photo:
    """A JPEG and where it came from."""

    source: str
    data: bytes


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


def describe(settings: Settings) -> Endpoint:
    """The endpoint of the settings. Raises PipelineError where there is none."""
    sagemaker = client(settings, "sagemaker")
    name = settings.endpoint.name
    with missing_means(f"there is no endpoint {name}; approve a model: python -m pipeline approve latest"):
        endpoint = sagemaker.describe_endpoint(EndpointName=name)
    return Endpoint(
        name=name,
        status=endpoint["EndpointStatus"],
        config=endpoint["EndpointConfigName"],
        package=_package(sagemaker, endpoint["EndpointConfigName"]),
        changed=endpoint["LastModifiedTime"],
        failure=endpoint.get("FailureReason", ""),
    )


def _package(sagemaker: Any, config: str) -> str:
    variants = sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
    model = sagemaker.describe_model(ModelName=variants[0]["ModelName"])
    containers = model.get("Containers") or [model.get("PrimaryContainer", {})]
    return str(containers[0].get("ModelPackageName", ""))


def wait(
    settings: Settings,
    package: str,
    *,
    timeout: float,
    interval: float = 2.0,
    sleep: Callable[[float], None] = time.sleep,
) -> Endpoint:
    """Wait until the endpoint serves the model package `package`; `timeout` and `interval` are in seconds.

    Raises PipelineError when the deployment fails, is rolled back or takes longer.
    """
    end = time.monotonic() + timeout
    last = "there is none yet"
    while time.monotonic() < end:
        try:
            endpoint = describe(settings)
        except PipelineError as error:
            last = str(error)
        else:
            if endpoint.status == "Failed":
                raise PipelineError(f"the endpoint {endpoint.name} failed: {endpoint.failure or 'no reason is given'}")
            if endpoint.status == "InService" and endpoint.package == package:
                return endpoint
            last = f"it is {endpoint.status} with {endpoint.package or endpoint.config}"
        sleep(interval)
    raise PipelineError(
        f"the endpoint {settings.endpoint.name} does not serve {package} after {timeout:.0f} s ({last});"
        " see: python -m pipeline logs deploy"
    )


def read_photos(settings: Settings, sources: Iterable[str]) -> list[Photo]:
    """The photos that files, folders (their JPEGs, sorted) and S3 URIs (an object, or a prefix ending in /) name.

    Raises PipelineError that names the first source that is no whole JPEG, or is not there.
    """
    photos = [photo for source in sources for photo in _read(settings, source)]
    for photo in photos:
        check_jpeg(photo)
    return photos


def check_jpeg(photo: Photo) -> None:
    """Raise PipelineError unless the photo is a whole JPEG that the endpoint can take."""
    if not photo.data.startswith(_JPEG_START):
        raise PipelineError(f"{photo.source}: not a JPEG; the endpoint counts in JPEG photos only")
    if _JPEG_END not in photo.data[-_JPEG_TAIL:]:
        raise PipelineError(f"{photo.source}: the JPEG ends before its end marker; it was cut off on the way")
    if len(photo.data) > PAYLOAD_LIMIT:
        raise PipelineError(f"{photo.source}: {len(photo.data):,} bytes; an endpoint takes at most {PAYLOAD_LIMIT:,}")


def _read(settings: Settings, source: str) -> Iterator[Photo]:
    if source.startswith("s3://"):
        yield from _read_s3(client(settings, "s3"), source)
        return
    path = Path(source)
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES)
        if not files:
            raise PipelineError(f"{path}: no .jpg files in this folder")
    else:
        files = [path]
    for file in files:
        try:
            yield Photo(str(file), file.read_bytes())
        except OSError as error:
            raise PipelineError(f"{file}: cannot be read: {error.strerror}") from error


def _read_s3(s3: Any, uri: str) -> Iterator[Photo]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    keys = [key]
    if not key or key.endswith("/"):
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
        with missing_means(f"{uri}: there is no such bucket"):
            found = [one["Key"] for page in pages for one in page.get("Contents", [])]
        keys = [one for one in found if one.lower().endswith(_SUFFIXES)]
        if not keys:
            raise PipelineError(f"{uri}: no .jpg objects below this prefix")
    for one in keys:
        with missing_means(f"s3://{bucket}/{one}: there is no such object; a prefix ends with /"):
            yield Photo(f"s3://{bucket}/{one}", s3.get_object(Bucket=bucket, Key=one)["Body"].read())


def predict(settings: Settings, photos: Iterable[Photo], *, concurrency: int = 4) -> Iterator[Prediction]:
    """Send each photo to the endpoint, `concurrency` at a time; answers come in the order of the photos."""
    runtime = client(settings, "sagemaker-runtime")
    name = settings.endpoint.name

    def invoke(photo: Photo) -> Prediction:
        from botocore.exceptions import ClientError

        started = time.perf_counter()
        try:
            response = runtime.invoke_endpoint(
                EndpointName=name, ContentType="image/jpeg", Accept="application/json", Body=photo.data
            )
        except ClientError as error:
            raise _refused(name, photo, error) from error
        body = response["Body"].read()
        return _prediction(photo, body, milliseconds=(time.perf_counter() - started) * 1000)

    with ThreadPoolExecutor(concurrency) as pool:
        yield from pool.map(invoke, photos)


def _prediction(photo: Photo, body: bytes, milliseconds: float) -> Prediction:
    try:
        answer = json.loads(body)
        return Prediction(
            source=photo.source,
            count=int(answer["count"]),
            expected=float(answer["expected"]),
            probabilities={int(count): float(p) for count, p in answer["probabilities"].items()},
            model_version=str(answer.get("model_version", "")),
            milliseconds=milliseconds,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PipelineError(f"{photo.source}: not an answer of this pipeline's model: {body[:200]!r}") from error


def _refused(name: str, photo: Photo, error: Any) -> Exception:
    """What a failed call means to the person who made it."""
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    if code == "ModelError":
        # The container's own answer; the service's message wraps it in advice on CloudWatch.
        status, original = error.response.get("OriginalStatusCode"), error.response.get("OriginalMessage")
        return PipelineError(f"{photo.source}: the model answered {status}: {original or message}")
    if code in ("ValidationError", "ValidationException") and "not found" in message.lower():
        return PipelineError(f"there is no endpoint {name}; approve a model: python -m pipeline approve latest")
    refusal: Exception = error
    return refusal
