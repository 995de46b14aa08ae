"""What an exception means to the person at the command line, and what to do about it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
_UNKNOWN_KEY = (
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "AuthFailure",
)
_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "Forbidden", "403")
_THROTTLED = ("ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown")
_QUOTA = ("ResourceLimitExceeded", "ServiceQuotaExceededException")
_ACTION = re.compile(r"not authorized to perform:? ([a-z0-9-]+:[A-Za-z0-9*]+)")
_LOOPBACK = re.compile(r"https?://(127\.0\.0\.1|localhost)[:/]")
SIGN_IN = "sign in again: aws sso login, or set AWS_PROFILE"


def explained(error: Exception) -> str | None:
    """One line (or a line a mistake) for an error; None for one that the command line library reports by itself."""
    import typer

    if isinstance(error, typer.Exit | typer.Abort) or type(error).__module__.startswith(("typer.", "click.")):
        return None
    if isinstance(error, BrokenPipeError):
        return None
    if isinstance(error, PipelineError):
        return str(error)
    # Where botocore was never imported the error cannot be its own, and importing it would only cost time.
    if type(error).__module__.startswith(("botocore.", "boto3.")):
        return _from_aws(error)
    return f"unexpected {type(error).__name__}: {error}; run again with --debug for the traceback"


def _from_aws(error: Exception) -> str:
    from botocore import exceptions

    match error:
        case exceptions.ClientError():
            line = _client_error(error)
        case exceptions.NoCredentialsError() | exceptions.PartialCredentialsError():
            line = f"no AWS credentials were found; {SIGN_IN}"
        case exceptions.SSOError() | exceptions.CredentialRetrievalError() | exceptions.TokenRetrievalError():
            line = f"the AWS credentials could not be loaded ({error}); {SIGN_IN}"
        case exceptions.ProfileNotFound():
            line = f"{error}; see: aws configure list-profiles"
        case exceptions.NoRegionError():
            line = "no AWS region is set; set account.region in pipeline.yaml"
        case exceptions.HTTPClientError() | exceptions.ConnectionError():
            line = _unreachable(error)
        case exceptions.ParamValidationError():
            line = f"AWS would refuse the request: {' '.join(str(error).split())}"
        case _:
            line = f"{type(error).__name__}: {error}"
    return line


def _unreachable(error: Exception) -> str:
    url = str(getattr(error, "kwargs", {}).get("endpoint_url") or "")
    if _LOOPBACK.match(url):
        return f"the local cloud does not answer at {url}; start it: python -m pipeline local up"
    where = f" at {url}" if url else ""
    return f"AWS cannot be reached{where} ({type(error).__name__}); check the network, proxy and account.region"


def _client_error(error: ClientError) -> str:
    """The answers that a person can do something about; the rest in the service's own words."""
    code = error.response["Error"]["Code"]
    message = " ".join(error.response["Error"].get("Message", "").split())
    operation = error.operation_name
    if code in _EXPIRED:
        line = f"the AWS credentials have expired; {SIGN_IN}"
    elif code in _UNKNOWN_KEY:
        line = f"AWS does not accept the credentials ({code}); {SIGN_IN}"
    elif code in _DENIED:
        named = _ACTION.search(message)
        action = named[1] if named else operation
        line = f"access denied: these credentials may not {action}; ask for that permission. AWS says: {message}"
    elif code in _THROTTLED:
        line = f"AWS throttled {operation}; wait a little and try again"
    elif code in _QUOTA:
        line = f"a quota of the account is used up; raise it in Service Quotas. AWS says: {message}"
    else:
        line = f"{operation} failed ({code}): {message}"
    return line
