"""Runs of the pipeline: start, find and stop them. Following one to its end is `progress`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.aws.responses import error_if_missing
from pipeline.clients import client
from pipeline.operations.runs import parameters
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

FINAL = ("Succeeded", "Failed", "Stopped", "CompletedWithFailures")
LATEST = "latest"


@dataclass(frozen=True)
class Execution:
    """One run."""

    arn: str
    status: str
    started: datetime
    changed: datetime | None = None
    name: str = ""
    failure: str = ""

    @property
    def id(self) -> str:
        """The last part of the ARN: what `{prefix}/runs/` has a folder for."""
        return self.arn.rsplit("/", 1)[-1]

    @property
    def given_name(self) -> str:
        """The name that a person gave, empty where SageMaker made one."""
        return "" if re.fullmatch(r"execution-[0-9]+", self.name) else self.name

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in FINAL


def start(
    settings: Settings, values: Mapping[str, str], *, name: str | None = None, parallelism: int | None = None
) -> Execution:
    """Start a run with `values` for the pipeline's parameters; what is not named keeps its default.

    Raises PipelineError where the pipeline is not in the account, or does not take a value.
    """
    sagemaker = client(settings, "sagemaker")
    request: dict[str, Any] = {"PipelineName": settings.name}
    checked = parameters.checked(definition(sagemaker, settings).get("Parameters", []), values)
    if checked:
        request["PipelineParameters"] = checked
    if name is not None:
        request["PipelineExecutionDisplayName"] = name
    if parallelism is not None:
        request["ParallelismConfiguration"] = {"MaxParallelExecutionSteps": parallelism}
    arn = sagemaker.start_pipeline_execution(**request)["PipelineExecutionArn"]
    return describe(sagemaker, arn)


def runs(settings: Settings, limit: int = 20) -> list[Execution]:
    """The newest runs, newest first."""
    sagemaker = client(settings, "sagemaker")
    pages = sagemaker.get_paginator("list_pipeline_executions").paginate(
        PipelineName=settings.name, SortBy="CreationTime", SortOrder="Descending", PaginationConfig={"MaxItems": limit}
    )
    with error_if_missing(_not_upserted(settings)):
        return [
            Execution(
                arn=one["PipelineExecutionArn"],
                status=one["PipelineExecutionStatus"],
                started=one["StartTime"],
                name=one.get("PipelineExecutionDisplayName", ""),
                failure=one.get("PipelineExecutionFailureReason", ""),
            )
            for page in pages
            for one in page["PipelineExecutionSummaries"]
        ]


def resolve(settings: Settings, reference: str) -> Execution:
    """The run that `latest`, an id or an ARN names. Raises PipelineError where there is none."""
    if reference == LATEST:
        newest = runs(settings, limit=1)
        if not newest:
            raise PipelineError(f"the pipeline {settings.name} has no runs yet; start one: python -m pipeline start")
        reference = newest[0].arn
    arn = reference if reference.startswith("arn:") else f"{pipeline_arn(settings)}/execution/{reference}"
    with error_if_missing(f"the pipeline {settings.name} has no run {reference}; see them: python -m pipeline runs"):
        return describe(client(settings, "sagemaker"), arn)


def stop(settings: Settings, reference: str) -> Execution:
    """Ask a run to stop; its jobs are stopped with it. Raises PipelineError where it has already ended."""
    execution = resolve(settings, reference)
    if execution.ended:
        raise PipelineError(f"the run {execution.id} has already ended: {execution.status}")
    sagemaker = client(settings, "sagemaker")
    sagemaker.stop_pipeline_execution(PipelineExecutionArn=execution.arn)
    return resolve(settings, execution.arn)


def describe(sagemaker: Any, arn: str) -> Execution:
    """The run `arn` as it stands now."""
    response = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    return Execution(
        arn=response["PipelineExecutionArn"],
        status=response["PipelineExecutionStatus"],
        started=response["CreationTime"],
        changed=response.get("LastModifiedTime"),
        name=response.get("PipelineExecutionDisplayName", ""),
        failure=response.get("FailureReason", ""),
    )


def pipeline_arn(settings: Settings) -> str:
    """ARN of the pipeline."""
    return f"arn:aws:sagemaker:{settings.account.region}:{settings.account.id}:pipeline/{settings.name}"


def definition(sagemaker: Any, settings: Settings) -> dict[str, Any]:
    """The pipeline's definition as it stands in the account. Raises PipelineError where it is not there."""
    with error_if_missing(_not_upserted(settings)):
        text = sagemaker.describe_pipeline(PipelineName=settings.name)["PipelineDefinition"]
    found: dict[str, Any] = json.loads(text)
    return found


def _not_upserted(settings: Settings) -> str:
    return (
        f"the pipeline {settings.name} is not in account {settings.account.id}; put it there: python -m pipeline upsert"
    )
