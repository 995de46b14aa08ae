"""The events of executions, their steps and jobs, in the form that EventBridge gets them.

https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html has an example of each. That
a first event has no previous status, and that the keys of metadata and cacheHitResult begin in lower case throughout,
is assumed.
"""

from __future__ import annotations

from typing import Any

from pipeline.local.context import Request
from pipeline.local.events import timestamp
from pipeline.local.sagemaker.resources import described

EXECUTION_CHANGE = "SageMaker Model Building Pipeline Execution Status Change"
PROCESSING_CHANGE = "SageMaker Processing Job State Change"
STEP_CHANGE = "SageMaker Model Building Pipeline Execution Step Status Change"


def execution_detail(document: Request) -> Request:
    """The detail of an execution's event, from its document in the store."""
    detail = {
        "pipelineExecutionDisplayName": document["PipelineExecutionDisplayName"],
        "currentPipelineExecutionStatus": document["PipelineExecutionStatus"],
        "previousPipelineExecutionStatus": document.get("PreviousStatus"),
        "executionStartTime": timestamp(document["CreationTime"]),
        "executionEndTime": timestamp(document["EndTime"]) if "EndTime" in document else None,
        "pipelineExecutionDescription": document.get("PipelineExecutionDescription"),
        "pipelineArn": document["PipelineArn"],
        "pipelineExecutionArn": document["PipelineExecutionArn"],
    }
    return _without_none(detail)


def step_detail(document: Request, name: str) -> Request:
    """The detail of the event of a step of an execution."""
    step = document["Steps"][name]
    detail = {
        "metadata": _lower(step.get("Metadata", {})),
        "stepStartTime": timestamp(step["StartTime"]) if "StartTime" in step else None,
        "stepEndTime": timestamp(step["EndTime"]) if "EndTime" in step else None,
        "stepName": name,
        "stepType": step.get("StepType"),
        "previousStepStatus": step.get("PreviousStatus"),
        "currentStepStatus": step["StepStatus"],
        "failureReason": step.get("FailureReason") if step["StepStatus"] == "Failed" else None,
        "cacheHitResult": _lower(step["CacheHitResult"]) if "CacheHitResult" in step else None,
        "pipelineArn": document["PipelineArn"],
        "pipelineExecutionArn": document["PipelineExecutionArn"],
    }
    return _without_none(detail)


def processing_detail(document: Request) -> Request:
    """The detail of a processing job's event: its description, with times in milliseconds since the epoch.

    Without its environment, as in the example.
    """
    job = described("DescribeProcessingJob", document)
    job.pop("Environment", None)
    return {name: int(value * 1000) if name.endswith("Time") else value for name, value in job.items()}


def _without_none(detail: Request) -> Request:
    return {name: value for name, value in detail.items() if value is not None}


def _lower(value: Any) -> Any:
    """Values under keys that begin in lower case, as events have them."""
    if isinstance(value, dict):
        return {f"{key[:1].lower()}{key[1:]}": _lower(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_lower(item) for item in value]
    return value
