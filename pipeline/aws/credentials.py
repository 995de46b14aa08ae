"""The person's AWS credentials: loaded once before the first request, with one line for each way in which that fails.

botocore runs a profile's `credential_process` and reads SSO's cached token when they are first needed, and then raises
whatever Python raised: https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.aws.errors import explained
from steps.contracts.errors import PipelineError

if TYPE_CHECKING:
    import boto3

# What a program may print of its reasons, on one line.
_CHARACTERS = 300


def load(session: boto3.Session) -> bool:
    """Whether the session has credentials; they are loaded, and so is a token that they need.

    Raises PipelineError with the profile and the remedy where there are some and they cannot be loaded.
    """
    from botocore import exceptions

    try:
        credentials = session.get_credentials()
        if credentials is not None:
            credentials.get_frozen_credentials()
    except (exceptions.BotoCoreError, exceptions.ClientError) as error:
        if reason := _of_process(session, error):
            raise PipelineError(reason) from None
        raise PipelineError(explained(error, session.profile_name)) from None
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise PipelineError(_of_process(session, error) or f"the AWS credentials cannot be loaded: {error}") from None
    return credentials is not None


def _of_process(session: boto3.Session, error: Exception) -> str:
    """The line for an error of the profile's `credential_process`; empty where the profile has none."""
    from botocore import exceptions

    scoped = session._session.get_scoped_config()  # boto3 has no other way to a profile's settings
    command = str(scoped.get("credential_process", ""))
    if not command or isinstance(error, exceptions.SSOError | exceptions.ConnectionError | exceptions.HTTPClientError):
        return ""
    try_it = "run it in a shell to see what it prints"
    match error:
        case FileNotFoundError():
            reason = f"there is no program {error.filename!r}; install it, or correct the path"
        case PermissionError():
            reason = f"{error.filename!r} may not be executed; allow it: chmod +x"
        case RuntimeError():  # the refreshed credentials are still expired
            reason = f"it prints credentials that have expired; sign in with it again, or {try_it}"
        case exceptions.CredentialRetrievalError():
            reason = f"it fails ({_line(error.kwargs.get('error_msg', error))}); {try_it}"
        case _:
            # Never its output: that has the secret.
            reason = f"it must print JSON alone, with Version 1 ({type(error).__name__}); {try_it}"
    return f"the AWS credentials cannot be loaded by credential_process of the profile {session.profile_name}: {reason}"


def _line(text: Any) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= _CHARACTERS else f"{line[:_CHARACTERS]}..."
