"""Connects a process to the settings' account or to the local cloud: the only place where `account.target` matters.

All clients (`pipeline.clients`) take endpoint and credentials from the environment, which this module sets.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipeline import ROOT
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

if TYPE_CHECKING:
    from pipeline.local.cloud import Cloud

# A variable of AWS's clients that is none of these leads them elsewhere, mixes with the local cloud's credentials, or
# is refused together with an endpoint of one's own (FIPS, dual stack):
# https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html
_HARMLESS = (
    "AWS_CA_BUNDLE",
    "AWS_DEFAULT_OUTPUT",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_MAX_ATTEMPTS",
    "AWS_PAGER",
    "AWS_RETRY_MODE",
)
_HARMLESS_START = "AWS_CLI_"
SESSION_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
# Names that resolve to 127.0.0.1, of this machine or in public DNS, with all names below them; Docker's is the machine
# around the container.
_LOCAL_NAMES = ("localhost", "localhost.localstack.cloud", "lvh.me", "localtest.me", "host.docker.internal")


def local_directory() -> Path:
    """The folder of the local cloud: PIPELINE_LOCAL_DIR, or .local in the project's folder."""
    return Path(os.environ.get("PIPELINE_LOCAL_DIR") or ROOT / ".local").resolve()


def connect(settings: Settings) -> None:
    """Connect this process to the account of the settings.

    For `account.target: local` the environment gets the running local cloud's endpoints, and its root user's keys
    unless it has those of a person (`local env --as`); raises PipelineError when the cloud is not running, or the
    person's session has ended. For an AWS account only the region is set, and credentials are the user's;
    raises PipelineError when the environment leads to this machine, and when credentials cannot be loaded. Without any,
    the first request fails.
    """
    if settings.account.target == "aws":
        _refuse_this_machine()
        os.environ["AWS_DEFAULT_REGION"] = os.environ["AWS_REGION"] = settings.account.region
        _load_credentials()
        return
    running = _running()
    _enter({**cloud_environment(running), **_session_of(running)})


def _running() -> Cloud:
    from pipeline.local import cloud

    running = cloud.find(local_directory())
    if running is None:
        raise PipelineError("the local cloud is not running; start it: python -m pipeline local up")
    return running


def is_running() -> bool:
    """Whether the local cloud runs."""
    from pipeline.local import cloud

    return cloud.find(local_directory()) is not None


def cloud_environment(running: Cloud) -> dict[str, str]:
    """The variables of the root user of a local cloud."""
    from pipeline.local import cloud

    return cloud.environment(running)


def _session_of(running: Cloud) -> dict[str, str]:
    """The keys of a person of this cloud, if the environment has them. Raises PipelineError for an ended session."""
    from pipeline.local.identity.sessions import ExpiredTokenError, InvalidTokenError, Sessions, is_local

    keys = {name: os.environ.get(name, "") for name in SESSION_KEYS}
    if not all(keys.values()):
        return {}
    try:
        Sessions(running.directory).verify(keys["AWS_ACCESS_KEY_ID"], keys["AWS_SESSION_TOKEN"])
    except (InvalidTokenError, ExpiredTokenError):
        if not is_local(keys["AWS_SESSION_TOKEN"]):
            return {}  # an AWS account's
        # Also after a reset of the cloud: a person must not become the root user unseen.
        raise PipelineError(
            "the session in AWS_SESSION_TOKEN has ended; sign in again: eval $(python -m pipeline local env --as ...)"
        ) from None
    return keys


def session_variables(role_arn: str, name: str, seconds: float) -> dict[str, str]:
    """The variables of a session of a role in the local cloud, whose folder is enough to issue it."""
    from pipeline.local.identity.sessions import Sessions

    return Sessions(_running().directory).issue(role_arn, name, seconds).environment()


@contextlib.contextmanager
def act_as(session: dict[str, str]) -> Iterator[None]:
    """Act as a person of the running local cloud for a while, with the variables of the person's session."""
    running = cloud_environment(_running())
    before = _session_of(_running())
    _enter({**running, **session})
    try:
        yield
    finally:
        _enter({**running, **before})


def as_administrator() -> contextlib.AbstractContextManager[None]:
    """Act as the root user of the running local cloud for a while: its owner prepares the account."""
    return act_as({})


def _enter(variables: dict[str, str]) -> None:
    """Set these variables, and drop those of other accounts."""
    os.environ.update(variables)
    for name in foreign_variables():
        if name not in variables:
            del os.environ[name]
    _renew_default_session()


def _refuse_this_machine() -> None:
    """Refuse variables of `local env`: a production command would go to the local cloud, and succeed."""
    for name, value in sorted(os.environ.items()):
        if name.startswith("AWS_ENDPOINT_URL") and _is_this_machine(urlsplit(value).hostname or ""):
            raise PipelineError(
                f"this profile is for an AWS account, but {name}={value} leads to this machine (from `local env`?);"
                " use another shell, or unset the AWS_ variables"
            )


def _is_this_machine(host: str) -> bool:
    """Whether a host is this machine by its address or name, or by the public names that clouds on it use."""
    if host in _LOCAL_NAMES or host.endswith(tuple(f".{name}" for name in _LOCAL_NAMES)):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _load_credentials() -> None:
    """Load the credentials into the session of all clients, where a failure has one line."""
    import boto3
    from botocore.exceptions import BotoCoreError

    from pipeline.aws import credentials, errors

    try:
        if boto3.DEFAULT_SESSION is None:
            boto3.setup_default_session()
    except BotoCoreError as error:  # an unknown profile, a config file that cannot be read
        raise PipelineError(errors.explained(error)) from None
    credentials.load(boto3.DEFAULT_SESSION)


def _renew_default_session() -> None:
    """Let new clients read the environment again: boto3's default session keeps its first credentials."""
    import boto3

    boto3.setup_default_session()


def foreign_variables() -> list[str]:
    """Variables of AWS's clients in this environment that are another account's, or lead away from the local cloud."""
    names = (name for name in os.environ if name.startswith("AWS_") and not name.startswith(_HARMLESS_START))
    return sorted(name for name in names if name not in _HARMLESS)
