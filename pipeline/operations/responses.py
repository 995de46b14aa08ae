"""What the operations have to know of AWS's answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.errors import PipelineError

_MISSING_CODES = {"ResourceNotFound", "ResourceNotFoundException", "NoSuchKey", "NoSuchBucket", "404"}
_MISSING_WORDS = ("does not exist", "could not find", "cannot find", "not found")


def says_missing(error: Any) -> bool:
    """Whether a botocore ClientError means that the thing asked for is not there.

    SageMaker answers ResourceNotFound for some resources and, for others (endpoints, package groups), a
    ValidationException whose message is all there is to tell.
    """
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    return code in _MISSING_CODES or (
        code == "ValidationException" and any(words in message.lower() for words in _MISSING_WORDS)
    )


@contextmanager
def missing_means(message: str) -> Iterator[None]:
    """Turn AWS's answer that something is not there into a PipelineError that says what to do."""
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        if says_missing(error):
            raise PipelineError(message) from error
        raise
