"""Connects a process to the settings' account or to the local cloud: the only place where `account.target` matters.

All clients (`pipeline.clients`) take endpoint and credentials from the environment, which this module sets.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from pipeline import ROOT
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

# Variables of another account, which would override the local cloud's credentials or mix with them.
_FOREIGN = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
)
_SERVICE_ENDPOINT = "AWS_ENDPOINT_URL_"


def local_directory() -> Path:
    """The folder of the local cloud: PIPELINE_LOCAL_DIR, or .local in the project's folder."""
    return Path(os.environ.get("PIPELINE_LOCAL_DIR") or ROOT / ".local").resolve()


def connect(settings: Settings) -> None:
    """Connect this process to the account of the settings.

    For `account.target: local` the environment gets the running local cloud's endpoints and credentials; raises
    PipelineError when it is not running. For an AWS account only the region is set, and credentials are the user's;
    raises PipelineError when the environment leads to this machine.
    """
    if settings.account.target == "aws":
        _refuse_this_machine()
        os.environ["AWS_DEFAULT_REGION"] = os.environ["AWS_REGION"] = settings.account.region
        return
    from pipeline.local import cloud

    running = cloud.find(local_directory())
    if running is None:
        raise PipelineError("the local cloud is not running; start it: python -m pipeline local up")
    os.environ.update(cloud.environment(running))
    for name in foreign_variables():
        if name not in cloud.environment(running):
            del os.environ[name]
    _renew_default_session()
    hosts = [host for host in os.environ.get("NO_PROXY", "").split(",") if host]
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(dict.fromkeys([*hosts, "127.0.0.1"]))


def _refuse_this_machine() -> None:
    """Refuse variables of `local env`: a production command would go to the local cloud, and succeed."""
    for name, value in sorted(os.environ.items()):
        if name.startswith("AWS_ENDPOINT_URL") and urlsplit(value).hostname in ("127.0.0.1", "localhost", "::1"):
            raise PipelineError(
                f"this profile is for an AWS account, but {name}={value} leads to this machine (from `local env`?);"
                " use another shell, or unset the AWS_ variables"
            )


def _renew_default_session() -> None:
    """Let new clients read the environment again: boto3's default session keeps its first credentials."""
    import boto3

    boto3.setup_default_session()


def foreign_variables() -> list[str]:
    """Variables of this environment that would lead a client away from the local cloud."""
    return sorted(name for name in os.environ if name in _FOREIGN or name.startswith(_SERVICE_ENDPOINT))
