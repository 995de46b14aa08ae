"""Bins of a public S3 bucket, such as the data set's own, read without credentials."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.samples.bounded import bounded_map
from pipeline.samples.layout import IMAGES, METADATA, Bin, image_key, metadata_key, parse
from pipeline.samples.pairing import OTHER_FILE, Listed, pairs
from steps.contracts.errors import PipelineError

# Where AWS keeps its open data. Other regions redirect to themselves.
REGION = "us-east-1"
WORKERS = 16
WINDOW = 64
_URI = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>.*))?")


@dataclass(frozen=True)
class Location:
    """A bucket and a prefix that is empty or ends in a slash; `endpoint` is None for AWS itself."""

    bucket: str
    prefix: str
    endpoint: str | None = None

    @classmethod
    def parse(cls, uri: str, endpoint: str | None = None) -> Location:
        """Read `s3://bucket/prefix`. Raises PipelineError for anything else."""
        match = _URI.fullmatch(uri)
        if match is None:
            raise PipelineError(f"{uri!r} is not an S3 URI; write s3://bucket/prefix")
        prefix = (match["prefix"] or "").strip("/")
        return cls(match["bucket"], f"{prefix}/" if prefix else "", endpoint)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


def read(location: Location, skipped: Counter[str]) -> Iterator[Bin]:
    """The bins below `location`, in key order, several at a time.

    Raises PipelineError when the bucket does not exist, is not public, cannot be reached, or holds no bins there.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    client = _client(location)
    found = False
    try:
        ids = pairs(_listed(client, location, IMAGES, skipped), _listed(client, location, METADATA, skipped), skipped)
        for one in bounded_map(lambda i: _get(client, location, i), ids, workers=WORKERS, window=WINDOW):
            found = True
            yield one
    except (ClientError, BotoCoreError) as error:
        raise PipelineError(f"{location}: {_explained(location, error)}") from error
    if not found:
        raise PipelineError(
            f"{location}: no {image_key('ID')} with {metadata_key('ID')} there; give their common prefix"
        )


def _client(location: Location) -> Any:
    """A client that signs nothing. It asks AWS even where the environment points S3 elsewhere: this is a source."""
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
    return boto3.client("s3", config=config, endpoint_url=location.endpoint)


def _listed(client: Any, location: Location, folder: str, skipped: Counter[str]) -> Iterator[Listed]:
    root = location.prefix
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=location.bucket, Prefix=f"{root}{folder}/")
    for page in pages:
        for entry in page.get("Contents", []):
            member = parse(entry["Key"].removeprefix(root))
            if member is None:
                skipped[OTHER_FILE] += 1
            else:
                yield Listed(member[1], entry["Size"])


def _get(client: Any, location: Location, image_id: str) -> Bin:
    jpeg, metadata = (
        client.get_object(Bucket=location.bucket, Key=location.prefix + key)["Body"].read()
        for key in (image_key(image_id), metadata_key(image_id))
    )
    return Bin(image_id, jpeg, metadata)


def _explained(location: Location, error: Exception) -> str:
    code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
    if code in ("AccessDenied", "403", "AllAccessDisabled"):
        return f"not readable without credentials; copy it: aws s3 cp --recursive {location} FOLDER, and use the folder"
    if code == "NoSuchBucket":
        return "there is no such bucket"
    return f"cannot be read: {error}; without a connection use a folder or a tar"
