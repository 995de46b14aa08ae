"""The environment of the function: its settings, and the AWS clients of its account."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


class AlertError(Exception):
    """The event or the environment is wrong, or a message cannot be made; the message states what to do."""


@dataclass(frozen=True)
class Clients:
    """One client per service."""

    sagemaker: Any
    s3: Any
    sns: Any

    @classmethod
    def connect(cls) -> Clients:
        """Clients of the function's own account and region."""
        import boto3

        return cls(*(boto3.client(name) for name in ("sagemaker", "s3", "sns")))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where messages go, and what they name. Each field is an environment variable in capitals.

    `pipeline.account.deploy_function` writes all of them.
    """

    topic_arn: str
    pipeline_arn: str
    endpoint_name: str
    root_uri: str
    """Prefix of all that the pipeline writes: reports of the monitor, and the messages sent so far."""
    command: str
    """The command line before a command's name, with the profile: messages end with a command to look."""

    @property
    def pipeline(self) -> str:
        """The pipeline's name."""
        return self.pipeline_arn.rsplit("/", 1)[-1]

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read the environment. Raises AlertError that names the variables which are missing."""
        names = [field.name for field in fields(cls)]
        missing = [name.upper() for name in names if not environ.get(name.upper())]
        if missing:
            raise AlertError(f"the function's environment lacks {', '.join(missing)}; run bootstrap again")
        return cls(**{name: environ[name.upper()] for name in names})
