"""What the operations have to know of AWS's answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.aws import errors as aws_errors
from steps.contracts.errors import PipelineError

# Whom an operation that takes minutes tells a line of what it does.
Tell = Callable[[str], None]
# What makes what an account lacks.
BOOTSTRAP = "python -m pipeline bootstrap"
MAKE_IT = f"make it: {BOOTSTRAP}"
_MISSING_CODES = {
    "ResourceNotFound",
    "ResourceNotFoundException",
    "NoSuchKey",
    "NoSuchBucket",
    "NoSuchBucketPolicy",
    "404",
    # IAM's, SNS's, Glue's, KMS's, ECR's and SQS's.
    "NoSuchEntity",
    "NotFound",
    "EntityNotFoundException",
    "NotFoundException",
    "RepositoryNotFoundException",
    "ImageNotFoundException",
    "QueueDoesNotExist",
    "AWS.SimpleQueueService.NonExistentQueue",
    # Application Auto Scaling's.
    "ObjectNotFoundException",
    # EC2's.
    "InvalidSubnetID.NotFound",
    "InvalidGroup.NotFound",
}
_WORDED_CODES = {"ValidationException", "InvalidRequestException"}
_MISSING_WORDS = ("does not exist", "could not find", "cannot find", "not found")


def says_missing(error: Any) -> bool:
    """Whether a botocore ClientError means that the thing asked for is not there.

    SageMaker answers ResourceNotFound for some resources and, for others (endpoints, package groups), a
    ValidationException whose message is all there is to tell, as Athena answers an InvalidRequestException.
    """
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    return code in _MISSING_CODES or (
        code in _WORDED_CODES and any(words in message.lower() for words in _MISSING_WORDS)
    )


def exists(describe: Any, **names: str) -> dict[str, Any] | None:
    """What a describing operation answers; None where the thing is not there."""
    from botocore.exceptions import ClientError

    try:
        found: dict[str, Any] = describe(**names)
    except ClientError as error:
        if says_missing(error):
            return None
        raise
    return found


def refusal(error: Any) -> str:
    """What a botocore ClientError says that means "not allowed", as one line; empty for any other error."""
    if aws_errors.code_of(error) not in aws_errors.DENIED:
        return ""
    return f"these credentials may not look ({error.operation_name}): {aws_errors.message_of(error)}"


def doing_without(error: Exception) -> str:
    """Why AWS could not be asked, for whoever can do without its answer: as it stands in the midst of a sentence.

    Raises the error where the credentials have expired: who has some wants AWS's answer, and is to sign in again.
    """
    if aws_errors.is_of(error, aws_errors.EXPIRED):
        raise error
    return aws_errors.explained(error).split(";")[0]


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
