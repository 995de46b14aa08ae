"""The S3 server that a benchmark has for itself, and buckets that last as long as one round."""

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

# A developer's own AWS settings must not reach a benchmark, nor a benchmark the developer's account.
_FOREIGN = ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN")
_NOWHERE = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextmanager
def running(folder: Path) -> Iterator[None]:
    """An S3 server with its data in `folder`; from here on this process and its children speak to it alone."""
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
    """The name of a new bucket that is ready to be written, and is deleted, with what is in it, afterwards."""
    s3 = boto3.client("s3")
    name = f"benchmark-{uuid.uuid4().hex[:20]}"
    s3.create_bucket(Bucket=name)
    try:
        s3.put_object(Bucket=name, Key="first", Body=b"the server makes a bucket's volumes with its first object")
        yield name
    finally:
        s3.delete_bucket(Bucket=name)


def port() -> int:
    """The port of the S3 server that this process speaks to."""
    found = urlsplit(os.environ["AWS_ENDPOINT_URL_S3"]).port
    assert found is not None
    return found
