"""Runs of the pipeline: start, find, stop and retry them; `progress` follows a run to its end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipeline.aws import errors as aws_errors
from pipeline.aws.arns import name_of
from pipeline.aws.pages import existing_items, items
from pipeline.aws.responses import error_if_missing
from pipeline.clients import client
from pipeline.operations.runs import parameters
from pipeline.operations.weights import presence
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from steps.contracts.wording import count_of

FINAL = ("Succeeded", "Failed", "Stopped", "CompletedWithFailures")
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StartPipelineExecution.html (PipelineExecutionName)
_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,81}")
# What RetryPipelineExecution continues: docs/decisions/0034.
RETRIED = ("Failed", "Stopped")
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
    settings: Settings,
    values: Mapping[str, str],
    *,
    name: str | None = None,
    parallelism: int | None = None,
    request_id: str | None = None,
) -> Execution:
    """Start a run with `values` for the pipeline's parameters; others have their defaults.

    A `request_id` of 32 to 128 characters starts one run, however often it is sent (ClientRequestToken):
    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StartPipelineExecution.html. Raises PipelineError
    where the pipeline is not in the account, does not accept a value or the name, or where the initial weights of its
    trials do not exist.
    """
    sagemaker = client(settings, "sagemaker")
    request: dict[str, Any] = {"PipelineName": settings.name}
    document = definition(sagemaker, settings)
    presence.refuse_missing(settings, document)
    if checked := parameters.checked(settings, document, values):
        request["PipelineParameters"] = checked
    if name is not None:
        check_name(name)
        request["PipelineExecutionDisplayName"] = name
    if parallelism is not None:
        request["ParallelismConfiguration"] = {"MaxParallelExecutionSteps": parallelism}
    if request_id is not None:
        request["ClientRequestToken"] = request_id
    return describe(sagemaker, sagemaker.start_pipeline_execution(**request)["PipelineExecutionArn"])


def runs(settings: Settings, limit: int = 20) -> list[Execution]:
    """The newest runs, newest first."""
    with error_if_missing(_not_upserted(settings)):
        return list(map(_execution, summaries(client(settings, "sagemaker"), settings, MaxItems=limit)))


@dataclass(frozen=True)
class RunsPage:
    """Runs, newest first, and the token of the page of older runs, empty after the oldest."""

    runs: tuple[Execution, ...]
    older: str


def check_name(name: str) -> None:
    """Raise PipelineError for a name that SageMaker does not accept for a run."""
    if not _NAME.fullmatch(name) or len(name) > 82:
        raise PipelineError(f"{name!r} is no name of a run: it has 1 to 82 letters, digits and hyphens between them")


def page(settings: Settings, size: int, token: str = "") -> RunsPage:
    """A page of at most `size` runs, the newest or those that a page's `older` leads to.

    Raises PipelineError where the pipeline is not in the account, or the token is of no page.
    """
    from botocore.exceptions import ClientError

    request = {"PipelineName": settings.name, "SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": size}
    if token:
        request["NextToken"] = token
    try:
        with error_if_missing(_not_upserted(settings)):
            answer = client(settings, "sagemaker").list_pipeline_executions(**request)
    except ClientError as error:
        if token and aws_errors.code_of(error) in ("ValidationException", "ValidationError"):
            raise PipelineError("this page of runs does not exist any more; begin with the newest runs") from error
        raise
    return RunsPage(tuple(map(_execution, answer["PipelineExecutionSummaries"])), answer.get("NextToken", ""))


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


def retry(settings: Settings, reference: str) -> Execution:
    """Continue a run that failed or was stopped: the steps that have succeeded stay, the others run again.

    The run keeps its id, definition and parameters. Raises PipelineError for a run in another state.
    """
    execution = resolve(settings, reference)
    if execution.status not in RETRIED:
        raise PipelineError(
            f"the run {execution.id} is {execution.status}; only a run that failed or was stopped can be retried"
        )
    client(settings, "sagemaker").retry_pipeline_execution(PipelineExecutionArn=execution.arn)
    return resolve(settings, execution.arn)


def values_of(settings: Settings, arn: str) -> dict[str, str]:
    """The value that each parameter had in the run `arn`, defaults of its own definition included."""
    sagemaker = client(settings, "sagemaker")
    answer = sagemaker.describe_pipeline_definition_for_execution(PipelineExecutionArn=arn)
    paginator = sagemaker.get_paginator("list_pipeline_parameters_for_execution")
    given = items(paginator, "PipelineParameters", PipelineExecutionArn=arn)
    return {
        **parameters.defaults(json.loads(answer["PipelineDefinition"])),
        **{value["Name"]: str(value["Value"]) for value in given},
    }


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


def definition_of_run(sagemaker: Any, arn: str) -> dict[str, Any]:
    """The definition that the run `arn` follows, which may be older than the pipeline's."""
    response = sagemaker.describe_pipeline_definition_for_execution(PipelineExecutionArn=arn)
    document: dict[str, Any] = json.loads(response["PipelineDefinition"])
    return document


def _not_upserted(settings: Settings) -> str:
    return f"the pipeline {settings.name} is not in account {settings.account.id}; create it: python -m pipeline upsert"
