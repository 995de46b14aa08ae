"""What these credentials may not do, in one line with the policy that allows it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.aws import errors as aws_errors
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

APPROVER, OPERATOR = "approver", "operator"


@contextmanager
def needed(settings: Settings, policy: str, act: str) -> Iterator[None]:
    """Raise PipelineError with the policy where AWS denies what is done within; `act` is that in words."""
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        if not aws_errors.has_code(error, aws_errors.DENIED):
            raise
        raise PipelineError(
            f"these credentials may not {act}: they lack {aws_errors.denied_action(error)}, which the policy"
            f" {settings.name}-{policy} has; sign in as somebody with this policy, and start the console again. AWS's"
            f" message: {aws_errors.message_of(error)}"
        ) from error
