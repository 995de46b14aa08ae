"""S3 for the steps: listings, object stores that stream (obstore), and their failures as StepErrors.

Credentials, region and endpoint come from boto3's own chain (environment, profile, role), so that
`AWS_ENDPOINT_URL_S3` moves every client at once. A store is not fork-safe: open it in the process that uses it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri

if TYPE_CHECKING:
    from boto3 import Session
    from obstore.store import S3Store

_CREDENTIALS = (
    "AWS_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
)


def _session() -> Session:
    """One boto3 session per process and set of credentials: creating one takes as long as reading fifty photos."""
    return _create_session(os.getpid(), tuple(os.environ.get(name) for name in _CREDENTIALS))


@lru_cache(maxsize=4)
def _create_session(process: int, credentials: tuple[str | None, ...]) -> Session:
    import boto3

    del process, credentials
    return boto3.Session()


def open_store(bucket: str, *, anonymous: bool = False) -> S3Store:
    """An obstore S3Store for `bucket`; with `anonymous` its requests are unsigned (public buckets)."""
    from obstore.auth.boto3 import Boto3CredentialProvider
    from obstore.store import S3Store

    session = _session()
    region = session.region_name or "us-east-1"
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if anonymous:
        return S3Store(bucket, region=region, skip_signature=True, virtual_hosted_style_request=endpoint is None)
    provider = Boto3CredentialProvider(session)
    options: dict[str, Any] = {"region": region, "credential_provider": provider}
    # Bodies are not hashed for the signature: TLS protects them on their way, as with boto3's own uploads.
    options["unsigned_payload"] = True
    if endpoint:
        options |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
        # Plain HTTP is allowed for an endpoint on this machine only.
        if re.match(r"http://(127\.0\.0\.1|localhost)[:/]", endpoint + "/"):
            options["client_options"] = {"allow_http": True}
    return S3Store(bucket, **options)


@contextmanager
def s3_errors(uri: S3Uri, action: Literal["reading", "writing"]) -> Iterator[None]:
    """Turn obstore's errors into StepErrors that name the object, except the one that it exists already."""
    from obstore.exceptions import AlreadyExistsError, BaseError

    try:
        yield
    except AlreadyExistsError:
        raise
    except (BaseError, OSError) as error:  # a writer reports S3's answers as Python's own file errors
        reason = str(error).partition("\n")[0]
        raise StepError(f"{uri}: {action} it failed, with all retries: {reason}") from error


def read_object(uri: S3Uri) -> bytes:
    """The content of an object. Raises StepError when S3 fails."""
    import obstore

    with s3_errors(uri, "reading"):
        return bytes(obstore.get(open_store(uri.bucket), uri.key).bytes())


def write_object(uri: S3Uri, content: bytes, *, replace: bool = True) -> bool:
    """Write an object. Returns False, without `replace`, if it exists already. Raises StepError when S3 fails."""
    import obstore
    from obstore.exceptions import AlreadyExistsError

    try:
        with s3_errors(uri, "writing"):
            obstore.put(open_store(uri.bucket), uri.key, content, mode="overwrite" if replace else "create")
    except AlreadyExistsError:
        return False
    return True


@dataclass(frozen=True)
class StoredObject:
    """An object as S3 lists it: size in bytes, and the time of its last change."""

    key: str
    size: int
    modified: datetime


def stored_objects(uri: S3Uri) -> Iterator[StoredObject]:
    """Every object below the prefix `uri`, page by page, in key order."""
    pages = _session().client("s3").get_paginator("list_objects_v2").paginate(Bucket=uri.bucket, Prefix=uri.key)
    for page in pages:
        for entry in page.get("Contents", []):
            yield StoredObject(entry["Key"], entry["Size"], entry["LastModified"])


def list_objects(uri: S3Uri) -> Iterator[tuple[str, int]]:
    """(key, bytes) of every object below the prefix `uri`, page by page, in key order."""
    for entry in stored_objects(uri):
        yield entry.key, entry.size
