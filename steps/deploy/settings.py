"""What the function is told by its environment."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass


class DeployError(Exception):
    """The event or the environment is wrong, or the endpoint is busy; the message says what to do."""


@dataclass(frozen=True)
class Settings:
    """Where a version is deployed to, and on what."""

    endpoint_name: str
    model_package_group: str
    serving_role_arn: str
    instance_type: str
    instance_count: int

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read ENDPOINT_NAME, MODEL_PACKAGE_GROUP, SERVING_ROLE_ARN, INSTANCE_TYPE and INSTANCE_COUNT."""
        names = ("ENDPOINT_NAME", "MODEL_PACKAGE_GROUP", "SERVING_ROLE_ARN", "INSTANCE_TYPE", "INSTANCE_COUNT")
        if missing := [name for name in names if not environ.get(name)]:
            raise DeployError(f"the function's environment lacks {', '.join(missing)}")
        count = environ["INSTANCE_COUNT"]
        if not count.isdigit() or int(count) < 1:
            raise DeployError(f"INSTANCE_COUNT is {count!r}; want a number from 1")
        return cls(
            endpoint_name=environ["ENDPOINT_NAME"],
            model_package_group=environ["MODEL_PACKAGE_GROUP"],
            serving_role_arn=environ["SERVING_ROLE_ARN"],
            instance_type=environ["INSTANCE_TYPE"],
            instance_count=int(count),
        )

    def config_name(self, version: int) -> str:
        """Name of the endpoint configuration of a version: another setting gives another name."""
        content = json.dumps(asdict(self), sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()[:8]
        # At most 63 characters; the version and the hash must survive a long endpoint name.
        suffix = f"-v{version}-{digest}"
        return f"{self.endpoint_name[: 63 - len(suffix)].rstrip('-')}{suffix}"
