"""Bins into the raw bucket, in the data set's own layout, many at a time."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pipeline.samples.bounded import bounded_map
from pipeline.samples.layout import Bin, image_key, metadata_key
from pipeline.samples.sources import Source
from steps.contracts.errors import PipelineError

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
    match = _URI.fullmatch(destination)
    if match is None:
        raise PipelineError(f"{destination!r} is not an S3 URI; write s3://bucket/prefix")
    prefix = (match["prefix"] or "").strip("/")
    root = f"{prefix}/" if prefix else ""
    store = _store(match["bucket"])
    count = size = 0
    for put in bounded_map(lambda one: _put(store, destination, root, one), source, workers=WORKERS, window=WINDOW):
        count, size = count + 1, size + put
        progress(1)
    return Uploaded(count, size, dict(source.skipped))


def _store(bucket: str) -> Any:
    """The bucket through obstore, with boto3's credentials and endpoint: a seventh of boto3's CPU time a request."""
    import boto3
    from obstore.auth.boto3 import Boto3CredentialProvider
    from obstore.store import S3Store

    session = boto3.Session()
    if session.get_credentials() is None:
        raise PipelineError("no AWS credentials were found; for the local cloud: eval $(python -m pipeline local env)")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    # Plain HTTP is for an endpoint on this machine only.
    here = endpoint is not None and re.match(r"http://(127\.0\.0\.1|localhost)[:/]", f"{endpoint}/") is not None
    return S3Store(
        bucket,
        region=session.region_name or "us-east-1",
        credential_provider=Boto3CredentialProvider(session),
        virtual_hosted_style_request=endpoint is None,
        client_options={"allow_http": here, "connect_timeout": "10s"},
        retry_config={"max_retries": 4, "retry_timeout": timedelta(seconds=60)},
        **({"endpoint": endpoint} if endpoint else {}),
    )


def _put(store: Any, destination: str, root: str, one: Bin) -> int:
    """The bytes put. The photo comes first: metadata whose photo is missing would be a bin that cannot be counted."""
    from obstore.exceptions import BaseError

    try:
        store.put(root + image_key(one.image_id), one.jpeg, attributes={"Content-Type": "image/jpeg"})
        store.put(root + metadata_key(one.image_id), one.metadata, attributes={"Content-Type": "application/json"})
    except (BaseError, FileNotFoundError) as error:  # the second is obstore's answer to a missing bucket
        raise PipelineError(f"{destination}: {_explained(error)}") from error
    return len(one.jpeg) + len(one.metadata)


def _explained(error: Exception) -> str:
    text = " ".join(str(error).split("\n", 1)[0].split())
    if "NoSuchBucket" in str(error):
        return "there is no such bucket; make it first: python -m pipeline bootstrap"
    if type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError"):
        return f"these credentials may not write there (s3:PutObject is needed): {text}"
    return f"cannot be written: {text}"
