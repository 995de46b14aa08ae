"""Runs of the pipeline: start, find and stop them; `progress` follows a run to its end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipeline.aws.arns import name_of
from pipeline.aws.pages import existing_items, items
from pipeline.aws.responses import error_if_missing
from pipeline.clients import client
from pipeline.operations.runs import parameters
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from steps.contracts.wording import count_of

FINAL = ("Succeeded", "Failed", "Stopped", "CompletedWithFailures")
LATEST = "latest"


@dataclass(frozen=True)
class Execution:
    """A run."""

    arn: str
    status: str
    started: datetime
    # SageMaker changes it without any other news.
    changed: datetime | None = field(default=None, compare=False)
    name: str = ""
    failure: str = ""

    @property
    def id(self) -> str:
        """The name at the end of the ARN, and of the run's folder below `{prefix}/runs/`."""
        return name_of(self.arn)

    @property
    def given_name(self) -> str:
        """The name given at the start, empty where SageMaker chose one."""
        return "" if re.fullmatch(r"execution-[0-9]+", self.name) else self.name

    @property
    def ended(self) -> bool:
        """Whether the status is final."""
        return self.status in FINAL


def start(
    settings: Settings, values: Mapping[str, str], *, name: str | None = None, parallelism: int | None = None
) -> Execution:
    """Start a run with `values` for the pipeline's parameters; others have their defaults.

    Raises PipelineError where the pipeline is not in the account, or does not accept a value.
    """
    sagemaker = client(settings, "sagemaker")
    request: dict[str, Any] = {"PipelineName": settings.name}
    if checked := parameters.checked(settings, definition(sagemaker, settings), values):
        request["PipelineParameters"] = checked
    if name is not None:
        request["PipelineExecutionDisplayName"] = name
    if parallelism is not None:
        request["ParallelismConfiguration"] = {"MaxParallelExecutionSteps": parallelism}
    return describe(sagemaker, sagemaker.start_pipeline_execution(**request)["PipelineExecutionArn"])


def runs(settings: Settings, limit: int = 20) -> list[Execution]:
    """The newest runs, newest first."""
    with error_if_missing(_not_upserted(settings)):
        return list(map(_execution, summaries(client(settings, "sagemaker"), settings, MaxItems=limit)))


def running(settings: Settings) -> list[str]:
    """Ids of the runs that have not ended; none where there is no pipeline."""
    paginator = client(settings, "sagemaker").get_paginator("list_pipeline_executions")
    request = {"PipelineName": settings.name, "PaginationConfig": {"PageSize": 100}}
    listed = existing_items(paginator, "PipelineExecutionSummaries", **request)
    return [name_of(run["PipelineExecutionArn"]) for run in listed if run["PipelineExecutionStatus"] not in FINAL]


def refuse_while_running(settings: Settings, consequence: str) -> None:
    """Raise PipelineError with the consequence while runs are in progress, and with the commands that stop them."""
    if runs := running(settings):
        stop = "; ".join(f"python -m pipeline stop {run}" for run in runs)
        raise PipelineError(f"{count_of(len(runs), 'run')} in progress {consequence}: {stop}")


def summaries(sagemaker: Any, settings: Settings, **paging: int) -> Iterator[dict[str, Any]]:
    """ListPipelineExecutions' summaries, newest first."""
    return items(
        sagemaker.get_paginator("list_pipeline_executions"),
        "PipelineExecutionSummaries",
        PipelineName=settings.name,
        SortBy="CreationTime",
        SortOrder="Descending",
        PaginationConfig={"PageSize": 100, **paging},
    )


def resolve(settings: Settings, reference: str) -> Execution:
    """The run that `latest`, an id or an ARN refers to. Raises PipelineError where there is none."""
    if reference == LATEST:
        if not (newest := runs(settings, limit=1)):
            raise PipelineError(f"the pipeline {settings.name} has no runs yet; start one: python -m pipeline start")
        reference = newest[0].arn
    arn = reference if reference.startswith("arn:") else f"{pipeline_arn(settings)}/execution/{reference}"
    with error_if_missing(f"the pipeline {settings.name} has no run {reference}; see them: python -m pipeline runs"):
        return describe(client(settings, "sagemaker"), arn)


def stop(settings: Settings, reference: str) -> Execution:
    """Stop a run and its jobs. Raises PipelineError where it has already ended."""
    execution = resolve(settings, reference)
    if execution.ended:
        raise PipelineError(f"the run {execution.id} has already ended: {execution.status}")
    client(settings, "sagemaker").stop_pipeline_execution(PipelineExecutionArn=execution.arn)
    return resolve(settings, execution.arn)


def describe(sagemaker: Any, arn: str) -> Execution:
    """The present state of the run `arn`."""
    return _execution(sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn))


def _execution(answer: Mapping[str, Any]) -> Execution:
    """A run, as DescribePipelineExecution or ListPipelineExecutions (with other names and no time of change) has it."""
    return Execution(
        arn=answer["PipelineExecutionArn"],
        status=answer["PipelineExecutionStatus"],
        started=answer["CreationTime"] if "CreationTime" in answer else answer["StartTime"],
        changed=answer.get("LastModifiedTime"),
        name=answer.get("PipelineExecutionDisplayName", ""),
        failure=answer.get("FailureReason", answer.get("PipelineExecutionFailureReason", "")),
    )


def pipeline_arn(settings: Settings) -> str:
    """ARN of the pipeline."""
    return f"arn:aws:sagemaker:{settings.account.region}:{settings.account.id}:pipeline/{settings.name}"


def definition(sagemaker: Any, settings: Settings) -> dict[str, Any]:
    """The pipeline's definition in the account. Raises PipelineError where the pipeline does not exist."""
    with error_if_missing(_not_upserted(settings)):
        text = sagemaker.describe_pipeline(PipelineName=settings.name)["PipelineDefinition"]
    document: dict[str, Any] = json.loads(text)
    return document


def _not_upserted(settings: Settings) -> str:
    return f"the pipeline {settings.name} is not in account {settings.account.id}; create it: python -m pipeline upsert"
