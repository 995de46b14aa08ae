"""Objects in S3 by their URI."""

from __future__ import annotations

from typing import Any

from pipeline.aws.responses import exists
from steps.contracts.s3_uri import S3Uri


def fetch(s3: Any, uri: str) -> bytes | None:
    """The content of the object at `uri`; None where it does not exist."""
    location = S3Uri.parse(uri)
    answer = exists(s3.get_object, Bucket=location.bucket, Key=location.key)
    return None if answer is None else bytes(answer["Body"].read())
