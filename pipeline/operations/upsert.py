"""Create or update the pipeline in the account: compile, check, then change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.aws import errors as aws_errors
from pipeline.aws.pages import items
from pipeline.aws.responses import exists
from pipeline.aws.tags import listed, tagged
from pipeline.aws.waiting import wait_until
from pipeline.clients import client
from pipeline.compiling import source
from pipeline.compiling.display import pipeline_display
from pipeline.operations.check import checked_definition
from pipeline.operations.weights import presence
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

Change = Literal["created", "updated", "unchanged"]
# Attempts after a conflict with another change.
CONFLICT_SECONDS, CONFLICT_PAUSE_SECONDS = 15.0, 1.0
_CONFLICTS = ("ConflictException", "ResourceInUse")


@dataclass(frozen=True)
class UpsertResult:
    """The pipeline in the account and the change that was made."""

    arn: str
    change: Change
    model_package_group: Change


def upsert(settings: Settings, *, parallelism: int | None = None) -> UpsertResult:
    """Create or update the pipeline, create its model package group, and set the tags of both.

    A tag that the settings do not have is left: it may be somebody else's.

    `parallelism` limits the steps that run at the same time; None leaves the pipeline's own limit. A new pipeline is
    deleted again where its group cannot be created. Raises PipelineError where other changes keep conflicting, and
    where the initial weights of the trials do not exist.
    """
    definition = checked_definition(settings, source.find())
    # A schedule may start a run at any time from here on.
    presence.refuse_missing(settings, json.loads(definition))
    sagemaker = client(settings, "sagemaker")
    request: dict[str, Any] = {
        "PipelineName": settings.name,
        "PipelineDefinition": definition,
        **pipeline_display(settings),
        "RoleArn": settings.role_arn("pipeline"),
    }
    if parallelism is not None:
        request["ParallelismConfiguration"] = {"MaxParallelExecutionSteps": parallelism}
    # Read first: missing permissions show before a change.
    group = exists(sagemaker.describe_model_package_group, ModelPackageGroupName=settings.registry.group)
    arn, change = _put(sagemaker, request, settings.tags)
    if group is not None:
        is_tagged = _tag(sagemaker, group["ModelPackageGroupArn"], settings.tags)
        return UpsertResult(arn, change, "updated" if is_tagged else "unchanged")
    try:
        return UpsertResult(arn, change, _create_group(sagemaker, settings.registry.group, settings.tags))
    except Exception as error:
        if change == "created":
            _delete_again(sagemaker, settings.name, error)
        raise


def _put(sagemaker: Any, request: dict[str, Any], tags: Mapping[str, str]) -> tuple[str, Change]:
    """Create, update or leave the pipeline; try again where another upsert changed it between reading and writing."""
    from botocore.exceptions import ClientError

    conflict = ""

    def attempt() -> tuple[str, Change] | None:
        nonlocal conflict
        try:
            before = exists(sagemaker.describe_pipeline, PipelineName=request["PipelineName"])
            if before is None:
                return sagemaker.create_pipeline(**request, **tagged(tags))["PipelineArn"], "created"
            is_tagged = _tag(sagemaker, before["PipelineArn"], tags)
            if _same(before, request):
                return before["PipelineArn"], "updated" if is_tagged else "unchanged"
            return sagemaker.update_pipeline(**request)["PipelineArn"], "updated"
        except ClientError as error:
            if not _is_conflict(error):
                raise
            conflict = aws_errors.message_of(error)
            return None

    result = wait_until(attempt, CONFLICT_SECONDS, CONFLICT_PAUSE_SECONDS)
    if result is None:
        raise PipelineError(
            f"another change of the pipeline {request['PipelineName']} is in progress; nothing was changed, try again"
            f" ({conflict})"
        )
    return result


def _tag(sagemaker: Any, arn: str, tags: Mapping[str, str]) -> bool:
    """Add the tags that an existing resource lacks; returns whether there were any."""
    if not tags:
        return False
    present = items(sagemaker.get_paginator("list_tags"), "Tags", ResourceArn=arn)
    before = {tag["Key"]: tag["Value"] for tag in present}
    missing = {key: value for key, value in tags.items() if before.get(key) != value}
    if missing:
        sagemaker.add_tags(ResourceArn=arn, Tags=listed(missing))
    return bool(missing)


def _is_conflict(error: Any) -> bool:
    """Whether the pipeline was created, changed or deleted since it was read."""
    code, operation = aws_errors.code_of(error), error.operation_name
    return code in _CONFLICTS or (_is_taken(error) if operation == "CreatePipeline" else code == "ResourceNotFound")


def _is_taken(error: Any) -> bool:
    """Whether a name is taken: a ValidationException of SageMaker, whose wording has changed before."""
    message = aws_errors.message_of(error)
    return "already exist" in message.lower() or "must be unique" in message


def _delete_again(sagemaker: Any, name: str, error: Exception) -> None:
    """Delete the new pipeline. Raises PipelineError where it cannot be deleted, with both reasons."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        sagemaker.delete_pipeline(PipelineName=name)
    except (BotoCoreError, ClientError) as second:
        reasons = "; ".join(map(aws_errors.explained, (error, second)))
        raise PipelineError(
            f"the pipeline {name} was created, its model package group could not be created, and the pipeline could"
            f" not be deleted again: {reasons}. Fix the cause and run this command again"
        ) from error


def _same(before: dict[str, Any], request: dict[str, Any]) -> bool:
    """Whether an update would change nothing; definitions are compared as JSON."""
    if json.loads(before["PipelineDefinition"]) != json.loads(request["PipelineDefinition"]):
        return False
    return all(before.get(key) == value for key, value in request.items() if key != "PipelineDefinition")


def _create_group(sagemaker: Any, name: str, tags: Mapping[str, str]) -> Literal["created", "unchanged"]:
    from botocore.exceptions import ClientError

    try:
        sagemaker.create_model_package_group(
            ModelPackageGroupName=name,
            ModelPackageGroupDescription="Models that count the objects in a bin",
            **tagged(tags),
        )
    except ClientError as error:
        if not _is_taken(error):
            raise
        return "unchanged"  # another upsert has created it in the meantime
    return "created"
