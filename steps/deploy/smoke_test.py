"""The smoke test of a version that has come up: golden photos, whose answers its evaluation has noted down.

The evaluation leaves them at the URI that the version's CustomerMetadataProperties name:
`{"version": 1, "photos": [{"image_id", "jpeg" (base64), "count", "probabilities": {"0": p, ...}}]}`.
"""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from typing import Any

from steps.deploy.clients import Clients
from steps.deploy.events import Version
from steps.deploy.settings import Settings

PROPERTY = "golden_photos"
# Of a probability: another processor rounds otherwise, another network is off by more.
TOLERANCE = 0.05
# Of the expected count: so near to the middle between two counts, rounding may go either way.
EXPECTATION_TOLERANCE = 0.1
# A container that is busy says so with this status; a photo is sent so many times, seconds apart.
OVERLOADED, ATTEMPTS, RETRY_SECONDS = 503, 4, 1.0


@dataclass(frozen=True)
class Outcome:
    """Whether the endpoint answers as the evaluation did, and what to say about it."""

    passed: bool
    reason: str


class _DiffersError(Exception):
    """The endpoint does not answer as the evaluation did, or it cannot be told."""


def run(aws: Clients, settings: Settings, version: Version) -> Outcome:
    """Send the golden photos to the endpoint.

    A version that cannot be tested, though it has golden photos, does not pass: nobody would look at it again.
    """
    try:
        return Outcome(True, _tested(aws, settings, version))
    except _DiffersError as error:
        return Outcome(False, f"smoke test: {error}")


def _tested(aws: Clients, settings: Settings, version: Version) -> str:
    """What to say of a version that passes. Raises _DiffersError."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        package = aws.sagemaker.describe_model_package(ModelPackageName=version.arn)
    except ClientError as error:
        raise _DiffersError(f"version {version.number} cannot be described: {error}") from error
    uri = package.get("CustomerMetadataProperties", {}).get(PROPERTY)
    if not uri:
        return f"version {version.number} serves; it has no golden photos to test it with"
    photos = _photos(aws.s3, uri)
    for photo in photos:
        try:
            difference = _difference(photo, _answer(aws, settings, photo), version)
        except (ClientError, BotoCoreError) as error:
            difference = str(error)
        if difference:
            raise _DiffersError(f"photo {photo['image_id']}: {difference}")
    return f"version {version.number} counts in {len(photos)} golden photos as its evaluation did"


def _answer(aws: Clients, settings: Settings, photo: dict[str, Any]) -> bytes:
    """The endpoint's answer to a photo, asked again while its container is busy."""
    from botocore.exceptions import ClientError

    for attempt in range(1, ATTEMPTS + 1):
        try:
            answer = aws.runtime.invoke_endpoint(
                EndpointName=settings.endpoint_name,
                ContentType="image/jpeg",
                Accept="application/json",
                Body=base64.b64decode(photo["jpeg"]),
            )
        except ClientError as error:
            if error.response.get("OriginalStatusCode") != OVERLOADED or attempt == ATTEMPTS:
                raise
            time.sleep(RETRY_SECONDS)
        else:
            return bytes(answer["Body"].read())
    raise AssertionError("unreachable: the last attempt answers or raises")


def _photos(s3: Any, uri: str) -> list[dict[str, Any]]:
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, key = uri.removeprefix("s3://").partition("/")
    try:
        photos: list[dict[str, Any]] = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())["photos"]
    except (ClientError, BotoCoreError, ValueError, KeyError, TypeError) as error:
        raise _DiffersError(f"the golden photos {uri} cannot be read: {type(error).__name__}: {error}") from error
    if not photos:
        raise _DiffersError(f"there are no golden photos in {uri}")
    return photos


def _difference(photo: dict[str, Any], body: bytes, version: Version) -> str:
    """In what an answer differs from the one that was noted; empty where it does not."""
    try:
        answer = json.loads(body)
        served, count = str(answer["model_version"]), int(answer["count"])
        found = {name: float(value) for name, value in answer["probabilities"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"not an answer of a counting model: {body[:100]!r}"
    if served != str(version.number):
        return f"version {served} answers, not {version.number}"
    noted: dict[str, float] = photo["probabilities"]
    if found.keys() != noted.keys():
        return f"probabilities of {', '.join(found)}, where {', '.join(noted)} were evaluated"
    apart = {name: abs(found[name] - noted[name]) for name in noted}
    # Not a number is not within the tolerance either.
    if off := [difference for difference in apart.values() if not difference <= TOLERANCE]:
        return f"counts {count} where the evaluation counted {photo['count']}; a probability is {off[0]:.2f} off"
    if not _fits(count, photo["count"], noted):
        return f"counts {count} where the evaluation counted {photo['count']}, of the same probabilities"
    return ""


def _fits(count: int, evaluated: int, noted: dict[str, float]) -> bool:
    """Whether it is the count of the evaluation, or in a tie with it: of likeliest classes, or in rounding."""
    tie = max(noted.values()) - 2 * TOLERANCE
    if count == evaluated or min(noted.get(str(count), 0.0), noted.get(str(evaluated), 0.0)) >= tie:
        return True
    expected = sum(int(name) * probability for name, probability in noted.items())
    middle = (count + evaluated) / 2
    return abs(count - evaluated) == 1 and abs(expected - middle) <= EXPECTATION_TOLERANCE
