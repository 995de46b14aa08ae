"""AWS's errors as one line each: the cause, and what to do about it.

For commands that an error ends, and for checks that an error prevents.
"""

from __future__ import annotations

import re
from typing import Any

EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
UNKNOWN_KEY = (
    *("InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "SignatureDoesNotMatch"),
    *("InvalidSignatureException", "AuthFailure"),
)
DENIED = (
    *("AccessDenied", "AccessDeniedException", "AccessDeniedForDependencyException", "UnauthorizedOperation"),
    *("AuthorizationError", "Forbidden", "403"),
)
THROTTLED = ("ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown")
# The last is CodeBuild's, in young accounts for the first build already.
QUOTA = ("ResourceLimitExceeded", "ServiceQuotaExceededException", "AccountLimitExceededException")
# S3's codes for a bucket in another region.
OTHER_REGION = ("PermanentRedirect", "301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException")
_ACTION = re.compile(r"not authorized to perform:? ([a-z0-9-]+:[A-Za-z0-9*]+)")
_LOOPBACK = re.compile(r"https?://(127\.0\.0\.1|localhost)[:/]")
SIGN_IN = "sign in again: aws sso login, or set AWS_PROFILE"
NOBODY = "no AWS credentials were found; sign in: aws sso login or aws configure, or set AWS_PROFILE"
_REMEDIES = (
    (EXPIRED, f"the AWS credentials have expired; {SIGN_IN}"),
    (
        UNKNOWN_KEY,
        f"AWS does not accept the credentials ({{code}}); {SIGN_IN}. A region that the account has not enabled"
        " has the same error: see account.region",
    ),
    (DENIED, "access denied: these credentials may not {action}; ask for that permission. AWS's message: {message}"),
    (THROTTLED, "AWS throttled {operation}; wait a little and try again"),
    (QUOTA, "a quota of the account is used up; raise it in Service Quotas. AWS's message: {message}"),
    (
        OTHER_REGION,
        "{operation} failed ({code}): the bucket is in another region than account.region; set the bucket's"
        " region there, or use another bucket. AWS's message: {message}",
    ),
)


def code_of(error: Any) -> str:
    """The code of a botocore ClientError."""
    return str(error.response["Error"]["Code"])


def message_of(error: Any) -> str:
    """The message of a botocore ClientError, as one line."""
    return " ".join(str(error.response["Error"].get("Message", "")).split())


def has_code(error: Exception, codes: tuple[str, ...]) -> bool:
    """Whether an error is a ClientError with one of the codes."""
    from botocore.exceptions import ClientError

    return isinstance(error, ClientError) and code_of(error) in codes


def denied_action(error: Any) -> str:
    """The denied action of a ClientError in the spelling of policies, or the operation if the message has no action."""
    named = _ACTION.search(message_of(error))
    return named[1] if named else str(error.operation_name)


def is_unreachable(error: Exception) -> bool:
    """Whether AWS did not answer, or something else answered in its place."""
    from botocore import exceptions
    from botocore.parsers import ResponseParserError

    return isinstance(error, exceptions.HTTPClientError | exceptions.ConnectionError | ResponseParserError)


def explained(error: Exception, profile: str = "") -> str:
    """One line for an error of botocore's: the cause and the remedy; `profile` is the one that was signed in with."""
    from botocore import exceptions
    from botocore.parsers import ResponseParserError

    match error:
        case exceptions.ClientError():
            line = _client_error(error)
        case exceptions.NoCredentialsError():
            line = NOBODY
        case exceptions.PartialCredentialsError():
            line = (
                f"half of the AWS credentials is missing ({error.kwargs.get('cred_var')}); set both parts, or neither"
            )
        case exceptions.SSOError() | exceptions.TokenRetrievalError():
            signed = f" --profile {profile}" if profile and profile != "default" else ""
            line = f"nobody is signed in to SSO, or no longer; sign in: aws sso login{signed}"
        case exceptions.CredentialRetrievalError():
            line = f"the AWS credentials could not be loaded ({' '.join(str(error).split())}); {SIGN_IN}"
        case exceptions.ConfigParseError() | exceptions.InvalidConfigError():
            line = f"AWS's own config file is not valid: {' '.join(str(error).split())}"
        case exceptions.ProfileNotFound():
            line = f"{error}; see: aws configure list-profiles"
        case exceptions.NoRegionError():
            line = "no AWS region is set; set account.region in pipeline.yaml"
        case exceptions.HTTPClientError() | exceptions.ConnectionError():
            line = _unreachable(error)
        case ResponseParserError():
            line = (
                "a proxy or a sign-in page of the network answered instead of AWS (ResponseParserError); sign in there,"
                " or check the network and proxy"
            )
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


def _client_error(error: Any) -> str:
    """The cause and remedy of well-known codes; the service's message for others."""
    code, operation = code_of(error), error.operation_name
    template = next((text for codes, text in _REMEDIES if code in codes), "{operation} failed ({code}): {message}")
    return template.format(code=code, operation=operation, action=denied_action(error), message=message_of(error))
