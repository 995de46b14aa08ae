"""The smoke test of a version that has come up: golden photos, whose answers its evaluation has noted down.

The evaluation leaves them at the URI that the version's CustomerMetadataProperties name:
`{"version": 1, "photos": [{"image_id", "jpeg" (base64), "count", "probabilities": {"0": p, ...}}]}`.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from steps.deploy.clients import Clients
from steps.deploy.events import Version
from steps.deploy.settings import Settings

PROPERTY = "golden_photos"
# Of a probability: another processor rounds otherwise, another network is off by more.
TOLERANCE = 0.05


@dataclass(frozen=True)
class Outcome:
    """Whether the endpoint answers as the evaluation did, and what to say about it."""

    passed: bool
    reason: str


def run(aws: Clients, settings: Settings, version: Version) -> Outcome:
    """Send the golden photos to the endpoint."""
    from botocore.exceptions import BotoCoreError, ClientError

    package = aws.sagemaker.describe_model_package(ModelPackageName=version.arn)
    uri = package.get("CustomerMetadataProperties", {}).get(PROPERTY)
    if not uri:
        return Outcome(True, f"version {version.number} serves; it has no golden photos to test it with")
    photos = _photos(aws.s3, uri)
    for photo in photos:
        try:
            answer = aws.runtime.invoke_endpoint(
                EndpointName=settings.endpoint_name,
                ContentType="image/jpeg",
                Accept="application/json",
                Body=base64.b64decode(photo["jpeg"]),
            )
            body = answer["Body"].read()
        except (ClientError, BotoCoreError) as error:
            return Outcome(False, f"smoke test: photo {photo['image_id']}: {error}")
        if difference := _difference(photo, body, version):
            return Outcome(False, f"smoke test: photo {photo['image_id']}: {difference}")
    return Outcome(True, f"version {version.number} counts in {len(photos)} golden photos as its evaluation did")


def _photos(s3: Any, uri: str) -> list[dict[str, Any]]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    document = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    photos: list[dict[str, Any]] = document["photos"]
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
    apart = max(abs(found[name] - noted[name]) for name in noted)
    if apart > TOLERANCE:
        return f"counts {count} where the evaluation counted {photo['count']}; a probability is {apart:.2f} off"
    return ""
