"""Put the pipeline into the account: compile, check, then create it or update it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.aws import errors as aws_errors
from pipeline.aws.responses import exists
from pipeline.clients import client
from pipeline.compiling import source
from pipeline.operations.check import checked_definition
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

Change = Literal["created", "updated", "unchanged"]
# Waiting before each further try, where somebody else's change got in the way.
RACE_SECONDS = (0.5, 1.0, 2.0, 4.0)
_CONFLICTS = ("ConflictException", "ResourceInUse")


@dataclass(frozen=True)
class Upserted:
    """The pipeline in the account, and what had to be done for it."""

    arn: str
    change: Change
    model_package_group: Literal["created", "unchanged"]


def upsert(
    settings: Settings, *, parallelism: int | None = None, sleep: Callable[[float], None] = time.sleep
) -> Upserted:
    """Create the pipeline and its model package group, or bring what is there up to date.

    `parallelism` limits the steps that run at the same time; None leaves the pipeline's own limit as it is. A pipeline
    that was created is deleted again where its group cannot be. Raises PipelineError where somebody else keeps changing
    the pipeline.
    """
    definition = checked_definition(settings, source.find())
    sagemaker = client(settings, "sagemaker")
    request: dict[str, Any] = {
        "PipelineName": settings.name,
        "PipelineDefinition": definition,
        "RoleArn": settings.role_arn("pipeline"),
    }
    if parallelism is not None:
        request["ParallelismConfiguration"] = {"MaxParallelExecutionSteps": parallelism}
    # Read first: who may not look is told so before anything is made.
    has_group = exists(sagemaker.describe_model_package_group, ModelPackageGroupName=settings.registry.group)
    arn, change = _put(sagemaker, request, sleep)
    if has_group:
        return Upserted(arn, change, "unchanged")
    try:
        return Upserted(arn, change, _create_group(sagemaker, settings.registry.group))
    except Exception as error:
        if change == "created":
            _take_back(sagemaker, settings.name, error)
        raise


def _put(sagemaker: Any, request: dict[str, Any], sleep: Callable[[float], None]) -> tuple[str, Change]:
    """Create, update or leave the pipeline. Where another upsert came between the look and the change, look again."""
    from botocore.exceptions import ClientError

    name = request["PipelineName"]
    for wait in (*RACE_SECONDS, None):
        try:
            return _put_once(sagemaker, request)
        except ClientError as error:
            if not _says_raced(error):
                raise
            if wait is None:
                raise PipelineError(
                    f"somebody else is changing the pipeline {name} at this moment; nothing was done, try again"
                    f" ({aws_errors.message_of(error)})"
                ) from error
            sleep(wait)
    raise AssertionError("the last try returns or raises")


def _put_once(sagemaker: Any, request: dict[str, Any]) -> tuple[str, Change]:
    before = exists(sagemaker.describe_pipeline, PipelineName=request["PipelineName"])
    if before is None:
        return sagemaker.create_pipeline(**request)["PipelineArn"], "created"
    if _same(before, request):
        return before["PipelineArn"], "unchanged"
    return sagemaker.update_pipeline(**request)["PipelineArn"], "updated"


def _says_raced(error: Any) -> bool:
    """Whether the pipeline was made, changed or deleted since it was looked at."""
    code, operation = aws_errors.code_of(error), error.operation_name
    if code in _CONFLICTS:
        return True
    return _says_taken(error) if operation == "CreatePipeline" else code == "ResourceNotFound"


def _says_taken(error: Any) -> bool:
    """Whether a name is taken. SageMaker says so with a ValidationException, in words that it has changed before."""
    message = aws_errors.message_of(error)
    return "already exist" in message.lower() or "must be unique" in message


def _take_back(sagemaker: Any, name: str, error: Exception) -> None:
    """Delete the pipeline that was just created. Raises PipelineError where it stays, with the reason for both."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        sagemaker.delete_pipeline(PipelineName=name)
    except (BotoCoreError, ClientError) as second:
        reasons = "; ".join(map(aws_errors.explained, (error, second)))
        raise PipelineError(
            f"the pipeline {name} was created, but its model package group could not be, nor the pipeline deleted"
            f" again: {reasons}. Once that is allowed, run this command again"
        ) from error


def _same(before: dict[str, Any], request: dict[str, Any]) -> bool:
    """Whether an update would change nothing; definitions are compared by content, not by spacing."""
    if json.loads(before["PipelineDefinition"]) != json.loads(request["PipelineDefinition"]):
        return False
    return all(before.get(key) == value for key, value in request.items() if key != "PipelineDefinition")


def _create_group(sagemaker: Any, name: str) -> Literal["created", "unchanged"]:
    from botocore.exceptions import ClientError

    try:
        sagemaker.create_model_package_group(
            ModelPackageGroupName=name, ModelPackageGroupDescription="Models that count the objects in a bin"
        )
    except ClientError as error:
        if not _says_taken(error):
            raise
        return "unchanged"  # another upsert has made it in the meantime
    return "created"
