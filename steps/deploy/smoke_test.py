"""The smoke test of a version in service: golden photos, with the answers that its evaluation recorded.

The evaluation writes them, and the release has a copy:
`{"version": 1, "photos": [{"image_id", "jpeg" (base64), "count", "probabilities": {"0": p, ...}}]}`.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

from steps.deploy import release
from steps.deploy.events import Version
from steps.deploy.release import ReleaseError
from steps.deploy.settings import Clients, Settings

# Largest difference between two probabilities: another processor rounds differently, another network differs more.
TOLERANCE = 0.05
# Distance of the expected count from the middle between two counts, within which rounding may go either way.
EXPECTATION_TOLERANCE = 0.1
# The status of a busy container, how often a photo is sent, and the seconds between attempts.
OVERLOADED, ATTEMPTS, RETRY_SECONDS = 503, 4, 1.0
# Time for the rollback and for the attempts at one photo, after which no other photo is sent.
RESERVED_SECONDS = 60.0


class SmokeTestError(Exception):
    """The endpoint does not answer as the evaluation did, or the comparison is impossible."""


def run(aws: Clients, settings: Settings, version: Version, seconds_left: Callable[[], float]) -> str:
    """Send the golden photos to the endpoint. Returns the reason why the version passes, or raises SmokeTestError.

    A version with golden photos that cannot be tested does not pass: no later test would find its faults. Neither does
    a version so slow that `seconds_left`, the rest of the function's own time, is needed for its rollback.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        uri = release.describe(aws, settings, version).golden
    except ReleaseError as error:
        raise SmokeTestError(str(error)) from error
    except ClientError as error:
        raise SmokeTestError(f"version {version.number} cannot be described: {error}") from error
    if not uri:
        return f"version {version.number} serves; it has no golden photos to test"
    photos = _photos(aws.s3, uri)
    for count, photo in enumerate(photos):
        if seconds_left() < RESERVED_SECONDS:
            raise SmokeTestError(f"the endpoint is too slow: no time is left after {count} of {len(photos)} photos")
        try:
            difference = _difference(photo, _answer(aws, settings, photo), version)
        except (ClientError, BotoCoreError) as error:
            difference = str(error)
        if difference:
            raise SmokeTestError(f"photo {photo['image_id']}: {difference}")
    return f"version {version.number} counts {len(photos)} of {len(photos)} golden photos as its evaluation did"


def _answer(aws: Clients, settings: Settings, photo: dict[str, Any]) -> bytes:
    """The endpoint's answer to a photo; the photo is sent again while the container is busy."""
    from botocore.exceptions import ClientError

    for attempt in range(1, ATTEMPTS + 1):
        try:
            answer = aws.runtime.invoke_endpoint(
                EndpointName=settings.endpoint_name,
                ContentType="image/jpeg",
                Accept="application/json",
                Body=base64.b64decode(photo["jpeg"]),
            )
            return bytes(answer["Body"].read())
        except ClientError as error:
            if error.response.get("OriginalStatusCode") != OVERLOADED or attempt == ATTEMPTS:
                raise
            time.sleep(RETRY_SECONDS)
    raise AssertionError("unreachable: the last attempt answers or raises")


def _photos(s3: Any, uri: str) -> list[dict[str, Any]]:
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, key = uri.removeprefix("s3://").partition("/")
    try:
        photos: list[dict[str, Any]] = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())["photos"]
    except (ClientError, BotoCoreError, ValueError, KeyError, TypeError) as error:
        raise SmokeTestError(f"the golden photos {uri} cannot be read: {type(error).__name__}: {error}") from error
    if not photos:
        raise SmokeTestError(f"there are no golden photos in {uri}")
    return photos


def _difference(photo: dict[str, Any], body: bytes, version: Version) -> str:
    """How an answer differs from the recorded one; empty where it does not."""
    try:
        answer = json.loads(body)
        served, count = str(answer["model_version"]), int(answer["count"])
        probabilities = {name: float(value) for name, value in answer["probabilities"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"not an answer of a counting model: {body[:100]!r}"
    if served != str(version.number):
        return f"version {served} answers, not {version.number}"
    recorded: dict[str, float] = photo["probabilities"]
    if probabilities.keys() != recorded.keys():
        return f"probabilities of {', '.join(probabilities)}, where {', '.join(recorded)} were evaluated"
    differences = {name: abs(probabilities[name] - recorded[name]) for name in recorded}
    # NaN is not within the tolerance either.
    if too_large := [difference for difference in differences.values() if not difference <= TOLERANCE]:
        return f"counts {count} where the evaluation counted {photo['count']}; a probability is {too_large[0]:.2f} off"
    if not _fits(count, photo["count"], recorded):
        return f"counts {count} where the evaluation counted {photo['count']}, with the same probabilities"
    return ""


def _fits(count: int, evaluated: int, recorded: dict[str, float]) -> bool:
    """Whether `count` is the evaluation's, or tied with it: both among the likeliest classes, or by rounding."""
    tie = max(recorded.values()) - 2 * TOLERANCE
    if count == evaluated or min(recorded.get(str(count), 0.0), recorded.get(str(evaluated), 0.0)) >= tie:
        return True
    expected = sum(int(name) * probability for name, probability in recorded.items())
    middle = (count + evaluated) / 2
    return abs(count - evaluated) == 1 and abs(expected - middle) <= EXPECTATION_TOLERANCE
