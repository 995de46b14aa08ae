"""The meaning of AWS's answers: missing resources, denied access, unavailable services."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.aws import errors as aws_errors
from steps.contracts.errors import PipelineError

# A function that a long operation calls with one line per step.
Report = Callable[[str], None]
# The command that creates an account's resources.
BOOTSTRAP = "python -m pipeline bootstrap"
CREATE_IT = f"create it: {BOOTSTRAP}"
_MISSING_CODES = {
    *("ResourceNotFound", "ResourceNotFoundException", "NoSuchKey", "NoSuchBucket", "NoSuchBucketPolicy", "404"),
    # IAM's, SNS's, Glue's, KMS's, ECR's and SQS's.
    *("NoSuchEntity", "NotFound", "EntityNotFoundException", "NotFoundException", "RepositoryNotFoundException"),
    *("ImageNotFoundException", "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"),
    # Application Auto Scaling's and EC2's.
    *("ObjectNotFoundException", "InvalidSubnetID.NotFound", "InvalidGroup.NotFound"),
}
_WORDED_CODES = {"ValidationException", "ValidationError", "InvalidRequestException"}
_MISSING_WORDS = ("does not exist", "could not find", "cannot find", "not found")


def says_missing(error: Any) -> bool:
    """Whether a botocore ClientError means that the resource does not exist.

    SageMaker answers ResourceNotFound for some resources. For others (endpoints, package groups) it answers a
    ValidationException, and Athena an InvalidRequestException, of which only the message has the meaning.
    """
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    worded = code in _WORDED_CODES and any(words in message.lower() for words in _MISSING_WORDS)
    return code in _MISSING_CODES or worded


@contextmanager
def ignore_missing() -> Iterator[None]:
    """Ignore a botocore ClientError which means that the resource does not exist."""
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        if not says_missing(error):
            raise


def exists(describe: Any, **names: Any) -> dict[str, Any] | None:
    """The answer of a describing operation; None if the resource does not exist."""
    answer: dict[str, Any] | None = None
    with ignore_missing():
        answer = describe(**names)
    return answer  # noqa: RET504  # None if the error is ignored


def refusal(error: Any) -> str:
    """One line for a botocore ClientError of denied access; empty for other errors."""
    if aws_errors.code_of(error) not in aws_errors.DENIED:
        return ""
    return f"these credentials may not look ({error.operation_name}): {aws_errors.message_of(error)}"


def reason_unavailable(error: Exception) -> str:
    """Part of a sentence: why AWS did not answer, for commands that continue without its answer.

    Raises the error if the credentials have expired: a user with credentials expects AWS's answer, and must sign in.
    """
    if aws_errors.has_code(error, aws_errors.EXPIRED):
        raise error
    return aws_errors.explained(error).split(";")[0]


@contextmanager
def error_if_missing(message: str) -> Iterator[None]:
    """Raise PipelineError with this message if AWS answers that a resource does not exist."""
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        if says_missing(error):
            raise PipelineError(message) from error
        raise
