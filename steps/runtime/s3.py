"""S3 for the steps: listings, object stores that stream (obstore), and their failures as StepErrors.

Credentials and endpoint come from boto3's own chain (environment, profile, role), so that `AWS_ENDPOINT_URL_S3` moves
every client at once, and a bucket's region from S3. A store is not fork-safe: open it in the process that uses it.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.runtime import credentials, listings
from steps.runtime.credentials import RenewedCredentials
from steps.runtime.listings import StoredObject
from steps.runtime.parallel_listing import Page, in_key_order

if TYPE_CHECKING:
    from boto3 import Session
    from obstore.store import S3Store

Answer = TypeVar("Answer")
_ENVIRONMENT = "AWS_"
DEFAULT_REGION = "us-east-1"
# Requests of a listing at a time.
LISTING_REQUESTS = 16
log = logging.getLogger(__name__)


def _credentials() -> RenewedCredentials:
    """One boto3 session per process and environment: creating one takes as long as reading fifty photos."""
    settings = tuple(sorted(item for item in os.environ.items() if item[0].startswith(_ENVIRONMENT)))
    return _create_credentials(os.getpid(), settings)


@lru_cache(maxsize=4)
def _create_credentials(process: int, settings: tuple[tuple[str, str], ...]) -> RenewedCredentials:
    del process, settings
    return RenewedCredentials(_session)


def _session() -> Session:
    """A boto3 session that reads the times in answers by Python's own parser.

    botocore's default tries several formats for each object of a listing: without it a raw location, which has millions
    of them, is listed 1.8 times as fast (`python -m benchmarks listing`).
    """
    import boto3
    from botocore.session import get_session

    session = get_session()
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=listings.parse_time)
    return boto3.Session(botocore_session=session)


def send(request: Callable[[], Answer]) -> Answer:
    """What `request` to a store returns, or when it is repeated with renewed credentials; raises as it does.

    Raises StepError when S3 refuses renewed credentials too.
    """
    return credentials.send(_credentials(), request)


async def send_async(request: Callable[[], Awaitable[Answer]]) -> Answer:
    """As `send`, for a request that is awaited."""
    return await credentials.send_async(_credentials(), request)


def open_store(bucket: str, *, anonymous: bool = False, retries: int | None = None) -> S3Store:
    """An obstore S3Store for `bucket`; with `anonymous` its requests are unsigned (public buckets).

    A request that fails is repeated at most `retries` times (default: obstore's 10, for 3 minutes at most). Raises
    StepError without credentials.
    """
    from obstore.store import S3Store

    provider = _credentials()
    region = _region(bucket, provider, anonymous=anonymous)
    endpoint = _endpoint()
    if anonymous:
        return S3Store(bucket, region=region, skip_signature=True, virtual_hosted_style_request=endpoint is None)
    provider.require()
    options: dict[str, Any] = {"region": region, "credential_provider": provider}
    if retries is not None:
        options["retry_config"] = {"max_retries": retries}
    # Bodies are not hashed for the signature: TLS protects them on their way, as with boto3's own uploads.
    options["unsigned_payload"] = True
    if endpoint:
        options |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
        # Plain HTTP is allowed for an endpoint on this machine only.
        if is_on_this_machine():
            options["client_options"] = {"allow_http": True}
    return S3Store(bucket, **options)


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def is_on_this_machine() -> bool:
    """Whether S3 is a server of this machine, which no other machine reaches at the same address."""
    return re.match(r"http://(127\.0\.0\.1|localhost)[:/]", f"{_endpoint()}/") is not None


def _region(bucket: str, provider: RenewedCredentials, *, anonymous: bool) -> str:
    """The region of `bucket`, or the session's where S3 does not return it.

    obstore signs for one region and does not follow the 301 of a bucket in another one.
    """
    from botocore.exceptions import BotoCoreError

    session_region = provider.session.region_name or DEFAULT_REGION
    try:
        return _bucket_region(bucket, session_region, provider, anonymous) or session_region
    except BotoCoreError as error:
        # The request that the store is for reports the problem.
        log.warning("bucket %s: its region is unknown, so %s is assumed: %s", bucket, session_region, error)
        return session_region


@lru_cache(maxsize=64)
def _bucket_region(bucket: str, session_region: str, provider: RenewedCredentials, anonymous: bool) -> str:
    """The region in S3's answer to HeadBucket, which contains it "regardless of the permissions on the bucket".

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html
    """
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import ClientError

    options: dict[str, Any] = {"signature_version": UNSIGNED} if anonymous else {}
    config = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 3}, **options)
    s3 = provider.session.client("s3", region_name=session_region, config=config)
    try:
        answer: dict[str, Any] = s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        answer = dict(error.response)
    return str(answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region", ""))


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
        store = open_store(uri.bucket)
        return bytes(send(lambda: obstore.get(store, uri.key).bytes()))


def write_object(uri: S3Uri, content: bytes, *, replace: bool = True) -> bool:
    """Write an object. Returns False, without `replace`, if it exists already. Raises StepError when S3 fails."""
    import obstore
    from obstore.exceptions import AlreadyExistsError

    try:
        with s3_errors(uri, "writing"):
            store = open_store(uri.bucket)
            send(lambda: obstore.put(store, uri.key, content, mode="overwrite" if replace else "create"))
    except AlreadyExistsError:
        return False
    return True


def stored_objects(uri: S3Uri) -> Iterator[StoredObject]:
    """Every object below the prefix `uri`, page by page, in key order."""
    for page in listed_pages(uri):
        yield from page


def listed_pages(uri: S3Uri, page_size: int | None = None) -> Iterator[list[StoredObject]]:
    """The pages of the listing below the prefix `uri`. Raises botocore's errors.

    By boto3, which lists every key that S3 stores: obstore refuses keys with empty segments (`a//b`), and boto3 asks
    for encoded keys, without which control characters are no XML (EncodingType of
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html).
    """
    options = {"PaginationConfig": {"PageSize": page_size}} if page_size else {}
    s3 = _listing_client(_credentials().session)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=uri.bucket, Prefix=uri.key, **options)
    for page in pages:
        yield [
            StoredObject(entry["Key"], entry["Size"], entry["LastModified"], entry.get("ETag", "").strip('"'))
            for entry in page.get("Contents", [])
        ]


@lru_cache(maxsize=2)
def _listing_client(session: Session) -> Any:
    """A client per session: to create one takes longer than to list a page, and megabytes until it is collected."""
    return session.client("s3")


def client(**options: Any) -> Any:
    """A boto3 client of S3 with these options, such as `config`."""
    return _credentials().session.client("s3", **options)


def listed_in_parallel(
    uri: S3Uri, requests: int = LISTING_REQUESTS, page_size: int = 1_000
) -> Iterator[list[StoredObject]]:
    """As `listed_pages`, in the same order, with up to `requests` requests at a time. Raises botocore's errors."""
    from botocore.config import Config

    # S3 may answer "503 Slow Down" while it adapts to more requests:
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html
    config = Config(max_pool_connections=requests, retries={"mode": "standard", "total_max_attempts": 10})
    s3 = client(config=config)
    s3.meta.events.register("before-parse.s3.ListObjectsV2", listings.parse_contents)
    request = {"Bucket": uri.bucket, "Prefix": uri.key, "MaxKeys": page_size}

    def fetch(after: str | None) -> Page[StoredObject]:
        start = {} if after is None else {"StartAfter": uri.key + after}
        answer = s3.list_objects_v2(**request, **start)
        # A page may be empty though more follow, such as one of deleted objects.
        while answer["IsTruncated"] and not answer[listings.OBJECTS]:
            answer = s3.list_objects_v2(**request, ContinuationToken=answer["NextContinuationToken"])
        objects = answer[listings.OBJECTS]
        return Page([entry.key.removeprefix(uri.key) for entry in objects], objects, answer["IsTruncated"])

    yield from in_key_order(fetch, requests)


def list_objects(uri: S3Uri) -> Iterator[tuple[str, int]]:
    """(key, bytes) of every object below the prefix `uri`, page by page, in key order."""
    for entry in stored_objects(uri):
        yield entry.key, entry.size
