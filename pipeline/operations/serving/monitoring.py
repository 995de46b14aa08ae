"""Monitoring of the endpoint's captures: a processing job, now or on a schedule."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

from pipeline.aws.objects import fetch
from pipeline.aws.responses import error_if_missing
from pipeline.aws.waiting import wait_until
from pipeline.clients import client
from pipeline.compiling import step_images as images
from pipeline.compiling import vpc as network
from pipeline.operations.runs import schedules
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from steps.contracts.s3_uri import S3Uri

STEP = "monitor"
TERMINAL = ("Completed", "Failed", "Stopped")
RUN_SECONDS = 3600
# SageMaker stops the job after RUN_SECONDS; starting its instance takes minutes.
WAIT_SECONDS = 2.0 * RUN_SECONDS
NAMESPACE = "BinCounting"
DRIFT, REPORT = "drift.json", "report.html"
# EventBridge Scheduler calls the API itself, and replaces these placeholders.
# https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
CREATE_JOB = "arn:aws:scheduler:::aws-sdk:sagemaker:createProcessingJob"
EXECUTION_ID, SCHEDULED_TIME = "<aws.scheduler.execution-id>", "<aws.scheduler.scheduled-time>"


@dataclass(frozen=True)
class MonitorJob:
    """A monitor's job; `drift` is the content of its drift.json once it has completed."""

    job: str
    status: str
    output: str
    failure: str = ""
    drift: dict[str, Any] = field(default_factory=dict)


def job_request(settings: Settings, identity: str, until: str = "", *, retrain: bool = False) -> dict[str, Any]:
    """CreateProcessingJob's request; `identity` makes its name and output unique."""
    chosen = settings.monitoring
    arguments = {
        "captures": settings.captures_uri,
        "endpoint": settings.endpoint.name,
        "hours": str(chosen.hours),
        "level": str(chosen.level),
        "minimum-psi": str(chosen.minimum_psi),
        "minimum-tail": str(chosen.minimum_tail),
        "minimum-photos": str(chosen.minimum_photos),
        "cooldown-days": str(chosen.cooldown_days),
        "namespace": NAMESPACE,
        **({"until": until} if until else {}),
        **({"retrain": settings.name} if retrain else {}),
    }
    output = {"S3Uri": f"{settings.root_uri}/monitor/{identity}", "LocalPath": "/opt/ml/processing/output/report"}
    cluster = {
        "InstanceType": chosen.instance_type,
        "InstanceCount": 1,
        "VolumeSizeInGB": 20,
        **network.volume_key(settings, chosen.instance_type),
    }
    return {
        "ProcessingJobName": f"{settings.name}-monitor-{identity}",
        "RoleArn": settings.role_arn("monitor"),
        "AppSpecification": {
            "ImageUri": images.step_image(STEP, settings).uri,
            "ContainerEntrypoint": ["python3", "-m", f"steps.{STEP}"],
            "ContainerArguments": [part for name, value in arguments.items() for part in (f"--{name}", value)],
        },
        "Environment": {"AWS_DEFAULT_REGION": settings.account.region},
        "ProcessingResources": {"ClusterConfig": cluster},
        "ProcessingOutputConfig": {
            "Outputs": [{"OutputName": "report", "S3Output": {**output, "S3UploadMode": "EndOfJob"}}],
            **network.output_key(settings),
        },
        **network.processing(settings),
        "StoppingCondition": {"MaxRuntimeInSeconds": RUN_SECONDS},
    }


def start(settings: Settings, *, retrain: bool = False) -> MonitorJob:
    """Start a job over the captures up to now. Raises PipelineError where nothing is captured."""
    _check_captured(settings)
    request = job_request(settings, time.strftime("%Y%m%d-%H%M%S", time.gmtime()), retrain=retrain)
    client(settings, "sagemaker").create_processing_job(**request)
    return describe(settings, request["ProcessingJobName"])


def _check_captured(settings: Settings) -> None:
    if settings.endpoint.mode == "serverless" or not settings.endpoint.capture_percent:
        raise PipelineError("nothing is captured: set endpoint.mode real-time and endpoint.capture_percent above 0")


def describe(settings: Settings, job: str) -> MonitorJob:
    """The present state of the job, with its result. Raises PipelineError where the job or its result is missing."""
    with error_if_missing(f"there is no job {job}"):
        answer = client(settings, "sagemaker").describe_processing_job(ProcessingJobName=job)
    status = answer["ProcessingJobStatus"]
    output = answer["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"]
    drift = {}
    if status == "Completed":
        uri = str(S3Uri.parse(output).join(DRIFT))
        content = fetch(client(settings, "s3"), uri)
        if content is None:
            raise PipelineError(f"the job {job} has no result at {uri}; start another: python -m pipeline monitor")
        drift = json.loads(content)
    return MonitorJob(job, status, output, answer.get("FailureReason", ""), drift)


def wait(settings: Settings, monitor: MonitorJob, *, interval: float = 2.0) -> MonitorJob:
    """The job once it has ended; `interval` in seconds. Raises PipelineError after WAIT_SECONDS."""

    def look() -> MonitorJob | None:
        state = describe(settings, monitor.job)
        return state if state.status in TERMINAL else None

    ended = wait_until(look, WAIT_SECONDS, interval)
    if ended is None:
        raise PipelineError(f"the job {monitor.job} has not ended after {WAIT_SECONDS:.0f} s; see SageMaker's console")
    return ended


def schedule_name(settings: Settings) -> str:
    """The name of the monitor's schedule."""
    return f"{settings.name}-monitor"


def schedule(
    settings: Settings, expression: str, *, timezone: str = "UTC", retrain: bool = False
) -> schedules.ScheduleResult:
    """Schedule a job for each time that `expression` is due, over the captures up to then.

    The scheduler creates the job itself (a universal target). Raises PipelineError for an expression that is invalid or
    never due, and where nothing is captured.
    """
    _check_captured(settings)
    window = schedules.check_times(expression, timezone, "", "")
    request = job_request(settings, EXECUTION_ID, SCHEDULED_TIME, retrain=retrain)
    return schedules.save(
        settings,
        {
            "Name": schedule_name(settings),
            "ScheduleExpression": expression,
            "ScheduleExpressionTimezone": timezone,
            "Description": f"Monitors the photos of the endpoint {settings.endpoint.name}",
            "Target": {**schedules.target(settings, CREATE_JOB), "Input": json.dumps(request)},
            **window,
        },
    )
