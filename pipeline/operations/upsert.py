"""Put the pipeline into the account: compile, check, then create it or update it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from pipeline import source
from pipeline.operations.check import checked_definition
from pipeline.operations.responses import says_missing
from pipeline.session import client
from pipeline.settings import Settings


@dataclass(frozen=True)
class Upserted:
    """The pipeline in the account, and what had to be done for it."""

    arn: str
    change: Literal["created", "updated", "unchanged"]
    model_package_group: Literal["created", "unchanged"]


def upsert(settings: Settings, *, parallelism: int | None = None) -> Upserted:
    """Create the pipeline and its model package group, or bring what is there up to date.

    `parallelism` limits the steps that run at the same time; None leaves the pipeline's own limit as it is.
    """
    definition = checked_definition(settings, source.find())
    sagemaker = client(settings, "sagemaker")
    group = _ensure_group(sagemaker, settings.registry.group)
    request: dict[str, Any] = {
        "PipelineName": settings.name,
        "PipelineDefinition": definition,
        "RoleArn": settings.role_arn("pipeline"),
    }
    if parallelism is not None:
        request["ParallelismConfiguration"] = {"MaxParallelExecutionSteps": parallelism}
    before = _describe(sagemaker, settings.name)
    if before is None:
        arn = sagemaker.create_pipeline(**request)["PipelineArn"]
        return Upserted(arn, "created", group)
    if _same(before, request):
        return Upserted(before["PipelineArn"], "unchanged", group)
    arn = sagemaker.update_pipeline(**request)["PipelineArn"]
    return Upserted(arn, "updated", group)


def _describe(sagemaker: Any, name: str) -> dict[str, Any] | None:
    from botocore.exceptions import ClientError

    try:
        response: dict[str, Any] = sagemaker.describe_pipeline(PipelineName=name)
    except ClientError as error:
        if says_missing(error):
            return None
        raise
    return response


def _same(before: dict[str, Any], request: dict[str, Any]) -> bool:
    """Whether an update would change nothing; definitions are compared by content, not by spacing."""
    if json.loads(before["PipelineDefinition"]) != json.loads(request["PipelineDefinition"]):
        return False
    return all(before.get(key) == value for key, value in request.items() if key != "PipelineDefinition")


def _ensure_group(sagemaker: Any, name: str) -> Literal["created", "unchanged"]:
    from botocore.exceptions import ClientError

    try:
        sagemaker.describe_model_package_group(ModelPackageGroupName=name)
    except ClientError as error:
        if not says_missing(error):
            raise
        sagemaker.create_model_package_group(
            ModelPackageGroupName=name, ModelPackageGroupDescription="Models that count the objects in a bin"
        )
        return "created"
    return "unchanged"
