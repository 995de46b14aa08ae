"""Upload of bins into the raw bucket, in the layout of the data set, many at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pipeline.parallel import bounded_map
from pipeline.samples.layout import Bin, image_key, metadata_key
from pipeline.samples.sources import Source
from steps.contracts.errors import PipelineError
from steps.contracts.photo_files import LeftOut
from steps.contracts.s3_uri import S3Uri
from steps.runtime.s3 import open_store, send

if TYPE_CHECKING:
    from obstore.store import S3Store

WORKERS = 16
# Bins in memory: those in transfer, and as many that wait for a connection.
WINDOW = 2 * WORKERS
# Fewer than in a job, since a person waits.
RETRIES = 4


@dataclass(frozen=True)
class Uploaded:
    """Bins that were uploaded, the bytes of their photos and metadata, and what the source left out, by reason."""

    count: int
    bytes: int
    skipped: LeftOut


def upload(source: Source, destination: str, progress: Callable[[int], None]) -> Uploaded:
    """Upload the bins of `source` below `destination` (`s3://bucket/prefix`).

    Calls `progress` with the number of bins since its last call. Credentials, region and endpoint are those of the
    environment. Raises StepError when the destination is no S3 URI, PipelineError when it cannot be written.
    """
    import boto3

    root = S3Uri.parse(destination)
    if boto3.Session().get_credentials() is None:
        raise PipelineError("no AWS credentials were found; for the local cloud: eval $(python -m pipeline local env)")
    # obstore takes a seventh of boto3's CPU time per request.
    store = open_store(root.bucket, retries=RETRIES)
    count = size = 0
    for uploaded in bounded_map(lambda sample: _put(store, root, sample), source, workers=WORKERS, window=WINDOW):
        count, size = count + 1, size + uploaded
        progress(1)
    return Uploaded(count, size, source.skipped)


def _put(store: S3Store, root: S3Uri, sample: Bin) -> int:
    """Upload a bin, its photo first, and return its bytes: metadata without a photo would be a bin without a count."""
    from obstore.exceptions import BaseError

    try:
        for key, data, kind in (
            (image_key(sample.image_id), sample.jpeg, "image/jpeg"),
            (metadata_key(sample.image_id), sample.metadata, "application/json"),
        ):
            send(partial(store.put, root.join(key).key, data, attributes={"Content-Type": kind}))
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
