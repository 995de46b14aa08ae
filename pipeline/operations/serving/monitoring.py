"""Watching what the endpoint sees: a processing job over its captures, now or by the clock."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pipeline.aws.responses import error_if_missing
from pipeline.clients import client
from pipeline.compiling import step_images as images
from pipeline.compiling import vpc as network
from pipeline.operations.runs import schedules
from pipeline.operations.serving.photos import split_uri
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

STEP = "monitor"
TERMINAL = ("Completed", "Failed", "Stopped")
RUN_SECONDS = 3600
NAMESPACE = "BinCounting"
DRIFT, REPORT = "drift.json", "report.html"
# EventBridge Scheduler calls the API itself; it fills these in.
# https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
CREATE_JOB = "arn:aws:scheduler:::aws-sdk:sagemaker:createProcessingJob"
EXECUTION_ID, SCHEDULED_TIME = "<aws.scheduler.execution-id>", "<aws.scheduler.scheduled-time>"


@dataclass(frozen=True)
class Watch:
    """A monitor's job and, once it has ended, what it found."""

    job: str
    status: str
    output: str
    failure: str = ""
    found: dict[str, Any] = field(default_factory=dict)


def job_request(settings: Settings, identity: str, until: str = "", *, retrain: bool = False) -> dict[str, Any]:
    """CreateProcessingJob's request; `identity` is what makes its name and its output one of a kind."""
    chosen = settings.monitoring
    arguments = {
        "captures": settings.captures_uri,
        "endpoint": settings.endpoint.name,
        "hours": str(chosen.hours),
        "level": str(chosen.level),
        "minimum-psi": str(chosen.minimum_psi),
        "minimum-photos": str(chosen.minimum_photos),
        "cooldown-days": str(chosen.cooldown_days),
        "namespace": NAMESPACE,
        **({"until": until} if until else {}),
        **({"retrain": settings.name} if retrain else {}),
    }
    image = images.step_image(STEP, settings).uri
    output = {"S3Uri": f"{settings.root_uri}/monitor/{identity}", "LocalPath": "/opt/ml/processing/output/report"}
    cluster = {
        "InstanceType": chosen.instance_type,
        "InstanceCount": 1,
        "VolumeSizeInGB": 20,
        **network.volume_key(settings, chosen.instance_type),
    }
    return {
        "ProcessingJobName": f"{settings.name}-monitor-{identity}",
        "RoleArn": settings.role_arn("job"),
        "AppSpecification": {
            "ImageUri": image,
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


def start(settings: Settings, *, retrain: bool = False) -> Watch:
    """Start a job over the window that ends now. Raises PipelineError where nothing is captured."""
    _check_captured(settings)
    request = job_request(settings, time.strftime("%Y%m%d-%H%M%S", time.gmtime()), retrain=retrain)
    client(settings, "sagemaker").create_processing_job(**request)
    return describe(settings, request["ProcessingJobName"])


def _check_captured(settings: Settings) -> None:
    if settings.endpoint.mode == "serverless" or not settings.endpoint.capture_percent:
        raise PipelineError("nothing is captured: want endpoint.mode real-time and endpoint.capture_percent above 0")


def describe(settings: Settings, job: str) -> Watch:
    """The job as it stands, with what it found."""
    with error_if_missing(f"there is no job {job}"):
        found = client(settings, "sagemaker").describe_processing_job(ProcessingJobName=job)
    status = found["ProcessingJobStatus"]
    output = found["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"]
    drift = {}
    if status == "Completed":
        bucket, prefix = split_uri(output)
        body = client(settings, "s3").get_object(Bucket=bucket, Key=f"{prefix}/{DRIFT}")["Body"].read()
        drift = json.loads(body)
    return Watch(job, status, output, found.get("FailureReason", ""), drift)


def wait(
    settings: Settings, watch: Watch, *, interval: float = 2.0, sleep: Callable[[float], None] = time.sleep
) -> Watch:
    """The job once it has ended; `interval` in seconds."""
    while watch.status not in TERMINAL:
        sleep(interval)
        watch = describe(settings, watch.job)
    return watch


def schedule_name(settings: Settings) -> str:
    """The name of the monitor's schedule."""
    return f"{settings.name}-monitor"


def schedule(
    settings: Settings, expression: str, *, timezone: str = "UTC", retrain: bool = False
) -> schedules.Scheduled:
    """Have a job start whenever `expression` is due, over the window that ends then.

    The scheduler makes the job itself (a universal target): nothing runs in between. Raises PipelineError for an
    expression that is none or is never due, and where nothing is captured.
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
            "Description": f"Watches what the endpoint {settings.endpoint.name} sees",
            "Target": {**schedules.target(settings, CREATE_JOB), "Input": json.dumps(request)},
            **window,
        },
    )
