"""The SageMaker SDK without an account: it is imported, and compiles, without a request."""

from __future__ import annotations

import functools
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.settings import Settings

# The SDK reads these while it is imported and while it compiles. Without a region it raises; it would validate the
# role with IAM; and without credentials it would request some from EC2's metadata service.
_ENVIRONMENT = {"SAGEMAKER_VALIDATE_ROLE": "false", "AWS_EC2_METADATA_DISABLED": "true"}


@contextmanager
def offline_sdk(region: str = "us-east-1") -> Iterator[None]:
    """An environment in which the SDK makes no request, and logs no advice on jobs that it believes are started."""
    changed = {**_ENVIRONMENT, "AWS_DEFAULT_REGION": region}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    logging_before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging_before)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


with offline_sdk():
    import boto3
    from sagemaker.core.config.config_manager import SageMakerConfig
    from sagemaker.core.helper import session_helper
    from sagemaker.core.workflow.pipeline_context import PipelineSession
    from sagemaker.mlops.workflow import steps


def _once(validate: Callable[[Any], None]) -> Callable[[Any], None]:
    """`validate`, called once per configuration."""
    passed: set[str] = set()

    def validated(config: Any) -> None:
        content = json.dumps(config, sort_keys=True)
        if content not in passed:
            validate(config)
            passed.add(content)

    return validated


# The SDK reads some fifty defaults while a pipeline compiles, and validates the whole configuration and its schema
# before each: nine tenths of the time. Our configuration never changes.
session_helper.validate_sagemaker_config = _once(session_helper.validate_sagemaker_config)
SageMakerConfig.validate_sagemaker_config = staticmethod(session_helper.validate_sagemaker_config)
# Each processing step creates a client of the SDK's local mode, with sessions, to read the name of one method.
steps.LocalSagemakerClient = functools.cache(steps.LocalSagemakerClient)


class OfflineSession(PipelineSession):  # type: ignore[misc]  # the SDK carries no types
    """A session that compiles and raises an error for any request to AWS; the bucket is the settings'."""

    def __init__(self, settings: Settings) -> None:
        session = boto3.Session(
            region_name=settings.account.region,
            aws_access_key_id="none",
            aws_secret_access_key="none",  # noqa: S106
        )
        session.events.register("before-send", _refuse_request)
        telemetry_off = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}
        self._bucket = settings.data.bucket
        super().__init__(
            boto_session=session,
            sagemaker_client=session.client("sagemaker"),
            default_bucket=self._bucket,
            sagemaker_config=telemetry_off,
        )

    def default_bucket(self) -> str:
        """The settings' bucket; the SDK's own method would request it from S3."""
        return self._bucket


def _refuse_request(request: Any, **_: Any) -> None:
    raise RuntimeError(f"compiling the definition must not call AWS, but it requested {request.url}")
