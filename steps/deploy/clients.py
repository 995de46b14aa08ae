"""The AWS clients that the function needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Clients:
    """One client a service."""

    sagemaker: Any
    runtime: Any
    s3: Any
    scaling: Any

    @classmethod
    def connect(cls) -> Clients:
        """Clients of the function's own account and region."""
        import boto3

        names = ("sagemaker", "sagemaker-runtime", "s3", "application-autoscaling")
        return cls(*(boto3.client(name) for name in names))
