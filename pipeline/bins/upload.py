"""Bins into the raw bucket, in the data set's own layout, many at a time."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.bins.bounded import bounded_map
from pipeline.bins.layout import Bin, image_key, metadata_key
from pipeline.bins.sources import Source
from pipeline.errors import PipelineError

WORKERS = 16
# Bins in memory: those on their way, and as many that wait for a free connection.
WINDOW = 2 * WORKERS
_URI = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>.*))?")


@dataclass(frozen=True)
class Uploaded:
    """Bins that were uploaded, the bytes of their photos and metadata, and what the source left out, by reason."""

    count: int
    bytes: int
    skipped: dict[str, int]


def upload(source: Source, destination: str, progress: Callable[[int], None]) -> Uploaded:
    """Put the bins of `source` under `destination` (`s3://bucket/prefix`) and say what was put.

    `progress` is called with the number of bins that arrived since its last call. Credentials, region and endpoint
    are the environment's. Raises PipelineError that names the destination when it is no S3 URI or cannot be written.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    match = _URI.fullmatch(destination)
    if match is None:
        raise PipelineError(f"{destination!r} is not an S3 URI; write s3://bucket/prefix")
    prefix = (match["prefix"] or "").strip("/")
    root = f"{prefix}/" if prefix else ""
    client = _client()
    count = size = 0
    try:
        for put in bounded_map(
            lambda one: _put(client, match["bucket"], root, one), source, workers=WORKERS, window=WINDOW
        ):
            count, size = count + 1, size + put
            progress(1)
    except (ClientError, BotoCoreError) as error:
        raise PipelineError(f"{destination}: {_explained(error)}") from error
    return Uploaded(count, size, dict(source.skipped))


def _client() -> Any:
    import boto3
    from botocore.config import Config

    retries = {"mode": "standard", "total_max_attempts": 5}
    return boto3.client("s3", config=Config(max_pool_connections=WORKERS, connect_timeout=10, retries=retries))


def _put(client: Any, bucket: str, root: str, one: Bin) -> int:
    """The bytes put. The photo comes first: metadata whose photo is missing would be a bin that cannot be counted."""
    image, document = root + image_key(one.image_id), root + metadata_key(one.image_id)
    client.put_object(Bucket=bucket, Key=image, Body=one.jpeg, ContentType="image/jpeg")
    client.put_object(Bucket=bucket, Key=document, Body=one.metadata, ContentType="application/json")
    return len(one.jpeg) + len(one.metadata)


def _explained(error: Exception) -> str:
    code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
    if code == "NoSuchBucket":
        return "there is no such bucket; make it first: python -m pipeline bootstrap"
    if code in ("AccessDenied", "403"):
        return "these credentials may not write there; s3:PutObject is needed"
    return f"cannot be written: {error}"
