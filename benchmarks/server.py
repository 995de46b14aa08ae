"""The S3 server of a benchmark, and buckets for one round."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import boto3

from pipeline.local.machine.objects import ObjectStore
from pipeline.local.machine.ports import free_port

# A benchmark must not use a developer's AWS settings, nor the developer's account.
_FOREIGN = ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN")
_NOWHERE = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextmanager
def running(folder: Path) -> Iterator[None]:
    """An S3 server with its data in `folder`; the only one for this process and its children."""
    store = ObjectStore(folder, free_port(), "benchmark-access-key", "benchmark-secret-key")
    store.start()
    try:
        for name in _FOREIGN:
            os.environ.pop(name, None)
        os.environ.update({**_NOWHERE, **store.environment})
        boto3.setup_default_session()
        yield
    finally:
        store.stop()


@contextmanager
def bucket() -> Iterator[str]:
    """A new bucket that is ready for writes; it is deleted with its objects afterwards. Yields its name."""
    s3 = boto3.client("s3")
    name = f"benchmark-{uuid.uuid4().hex[:20]}"
    s3.create_bucket(Bucket=name)
    try:
        s3.put_object(Bucket=name, Key="first", Body=b"the server creates a bucket's volumes with its first object")
        yield name
    finally:
        s3.delete_bucket(Bucket=name)


def port() -> int:
    """The port of the S3 server of this process."""
    number = urlsplit(os.environ["AWS_ENDPOINT_URL_S3"]).port
    assert number is not None
    return number
