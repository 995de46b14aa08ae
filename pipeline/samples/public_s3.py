"""Bins of a public S3 bucket, such as that of the data set, read without credentials."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from pipeline.parallel import bounded_map
from pipeline.samples.layout import (
    IMAGES,
    METADATA,
    Bin,
    Listed,
    Pair,
    image_key,
    metadata_key,
    pairs,
    parse,
    reason_of,
)
from steps.contracts.errors import PipelineError
from steps.contracts.photo_files import LeftOut, is_folder
from steps.contracts.s3_uri import S3Uri

# The region of AWS's open data. Buckets of other regions redirect to their own.
REGION = "us-east-1"
WORKERS = 16
WINDOW = 64


def read(
    root: S3Uri, skipped: LeftOut, endpoint: str | None = None, ids: Collection[str] | None = None
) -> Iterator[Bin]:
    """The bins below `root`, in key order, several at a time; `endpoint` None is AWS.

    With `ids` nothing is listed: the bins with these ids are requested, and those that are missing passed over.

    Raises PipelineError when the bucket does not exist, is not public, cannot be reached, or has no bins there.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    client = _client(endpoint)
    is_empty = True
    try:
        if ids is None:
            bins = pairs(_listed(client, root, IMAGES, skipped), _listed(client, root, METADATA, skipped), skipped)
        else:
            bins = (Pair(image_id, image_key(image_id), metadata_key(image_id)) for image_id in sorted(ids))
        for sample in bounded_map(lambda pair: _get(client, root, pair), bins, workers=WORKERS, window=WINDOW):
            if sample is not None:
                is_empty = False
                yield sample
    except (ClientError, BotoCoreError) as error:
        raise PipelineError(f"{_name(root)}: {_explained(root, error)}") from error
    if is_empty:
        raise PipelineError(
            f"{_name(root)}: no {image_key('ID')} with {metadata_key('ID')} there; pass their common prefix"
        )


def _client(endpoint: str | None) -> Any:
    """A client that signs nothing, and asks AWS even where the environment has another endpoint for S3."""
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    config = Config(
        signature_version=UNSIGNED,
        region_name=REGION,
        ignore_configured_endpoint_urls=True,
        max_pool_connections=WORKERS,
        connect_timeout=10,
        retries={"mode": "standard", "total_max_attempts": 5},
    )
    return boto3.client("s3", config=config, endpoint_url=endpoint)


def _listed(client: Any, root: S3Uri, folder: str, skipped: LeftOut) -> Iterator[Listed]:
    prefix = f"{root.join(folder).key}/"
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=root.bucket, Prefix=prefix):
        for entry in page.get("Contents", []):
            name = f"{folder}/{entry['Key'].removeprefix(prefix)}"
            member = parse(name)
            if member is not None:
                yield Listed(member[1], entry["Size"], name)
            elif not is_folder(name):
                skipped.add(reason_of(name), name)


def _get(client: Any, root: S3Uri, pair: Pair) -> Bin | None:
    """The bin; None where one of its files does not exist."""
    from botocore.exceptions import ClientError

    try:
        return _content(client, root, pair)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in ("NoSuchKey", "404"):
            return None
        raise


def _content(client: Any, root: S3Uri, pair: Pair) -> Bin:
    jpeg, metadata = (
        client.get_object(Bucket=root.bucket, Key=root.join(key).key)["Body"].read()
        for key in (pair.image, pair.metadata)
    )
    return Bin(pair.image_id, jpeg, metadata)


def _name(root: S3Uri) -> str:
    return str(root).rstrip("/")


def _explained(root: S3Uri, error: Exception) -> str:
    code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
    if code in ("AccessDenied", "403", "AllAccessDisabled"):
        return f"not readable without credentials; copy it: aws s3 cp --recursive {_name(root)} FOLDER, and use it"
    if code == "NoSuchBucket":
        return "the bucket does not exist"
    return f"cannot be read: {error}; without a connection, use a folder or a tar"
