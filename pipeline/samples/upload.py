"""Upload of bins into the raw bucket, in the layout of the data set, many at a time."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pipeline.parallel import bounded_map
from pipeline.samples.layout import Bin, image_key, metadata_key
from pipeline.samples.sources import Source
from steps.contracts.errors import PipelineError
from steps.contracts.s3_uri import S3Uri

WORKERS = 16
# Bins in memory: those in transfer, and as many that wait for a connection.
WINDOW = 2 * WORKERS


@dataclass(frozen=True)
class Uploaded:
    """Bins that were uploaded, the bytes of their photos and metadata, and what the source left out, by reason."""

    count: int
    bytes: int
    skipped: dict[str, int]


def upload(source: Source, destination: str, progress: Callable[[int], None]) -> Uploaded:
    """Upload the bins of `source` below `destination` (`s3://bucket/prefix`).

    Calls `progress` with the number of bins since its last call. Credentials, region and endpoint are those of the
    environment. Raises StepError when the destination is no S3 URI, PipelineError when it cannot be written.
    """
    root = S3Uri.parse(destination)
    store = _store(root.bucket)
    count = size = 0
    for uploaded in bounded_map(lambda sample: _put(store, root, sample), source, workers=WORKERS, window=WINDOW):
        count, size = count + 1, size + uploaded
        progress(1)
    return Uploaded(count, size, dict(source.skipped))


def _store(bucket: str) -> Any:
    """The bucket through obstore, with boto3's credentials and endpoint: a seventh of boto3's CPU time per request."""
    import boto3
    from obstore.auth.boto3 import Boto3CredentialProvider
    from obstore.store import S3Store

    session = boto3.Session()
    if session.get_credentials() is None:
        raise PipelineError("no AWS credentials were found; for the local cloud: eval $(python -m pipeline local env)")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    # Plain HTTP only to this machine.
    is_local = endpoint is not None and re.match(r"http://(127\.0\.0\.1|localhost)[:/]", f"{endpoint}/") is not None
    return S3Store(
        bucket,
        region=session.region_name or "us-east-1",
        credential_provider=Boto3CredentialProvider(session),
        virtual_hosted_style_request=endpoint is None,
        client_options={"allow_http": is_local, "connect_timeout": "10s"},
        retry_config={"max_retries": 4, "retry_timeout": timedelta(seconds=60)},
        **({"endpoint": endpoint} if endpoint else {}),
    )


def _put(store: Any, root: S3Uri, sample: Bin) -> int:
    """Upload a bin, its photo first, and return its bytes: metadata without a photo would be a bin without a count."""
    from obstore.exceptions import BaseError

    try:
        for key, data, kind in (
            (image_key(sample.image_id), sample.jpeg, "image/jpeg"),
            (metadata_key(sample.image_id), sample.metadata, "application/json"),
        ):
            store.put(root.join(key).key, data, attributes={"Content-Type": kind})
    except (BaseError, FileNotFoundError) as error:  # the second is obstore's answer to a missing bucket
        raise PipelineError(f"{root}: {_explained(error)}") from error
    return len(sample.jpeg) + len(sample.metadata)


def _explained(error: Exception) -> str:
    text = " ".join(str(error).split("\n", 1)[0].split())
    if "NoSuchBucket" in str(error):
        return "the bucket does not exist; create it: python -m pipeline bootstrap"
    if type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError"):
        return f"these credentials may not write there (s3:PutObject is needed): {text}"
    return f"cannot be written: {text}"
