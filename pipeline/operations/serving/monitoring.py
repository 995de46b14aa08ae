"""Monitoring of the endpoint's captures: a processing job, now or on a schedule."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

from pipeline.aws.objects import fetch
from pipeline.aws.responses import error_if_missing, exists
from pipeline.aws.tags import tagged
from pipeline.aws.waiting import wait_until
from pipeline.clients import client
from pipeline.compiling import step_images as images
from pipeline.compiling import vpc as network
from pipeline.operations.runs import schedules
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from steps.contracts.names import DRIFT_FILE
from steps.contracts.s3_uri import S3Uri

STEP = "monitor"
TERMINAL = ("Completed", "Failed", "Stopped")
RUN_SECONDS = 3600
VOLUME_GB = 20
# SageMaker stops the job after RUN_SECONDS; starting its instance takes minutes.
WAIT_SECONDS = 2.0 * RUN_SECONDS
NAMESPACE = "BinCounting"
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
        **_truth_arguments(settings),
        **({"until": until} if until else {}),
        **({"retrain": settings.name} if retrain else {}),
    }
    name = f"{name_prefix(settings)}{identity}"
    output = {"S3Uri": output_uri(settings, name), "LocalPath": "/opt/ml/processing/output/report"}
    cluster = {
        "InstanceType": chosen.instance_type,
        "InstanceCount": 1,
        "VolumeSizeInGB": VOLUME_GB,
        **network.volume_key(settings, chosen.instance_type),
    }
    return {
        "ProcessingJobName": name,
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
        **tagged(settings.tags),
    }


def _truth_arguments(settings: Settings) -> dict[str, str]:
    """The step's arguments about true counts; none without a location of them."""
    chosen = settings.monitoring
    if chosen.truth is None:
        return {}
    minimums = {
        "minimum-accuracy": chosen.minimum_accuracy,
        "minimum-set-coverage": chosen.minimum_set_coverage,
        "minimum-sure-accuracy": chosen.minimum_sure_accuracy,
    }
    return {
        "truth": chosen.truth,
        "truth-delay-hours": str(chosen.truth_delay_hours),
        "minimum-true-photos": str(chosen.minimum_true_photos),
        **{name: str(minimum) for name, minimum in minimums.items() if minimum is not None},
    }


def name_prefix(settings: Settings) -> str:
    """The beginning of the name of each of the monitor's jobs."""
    return f"{settings.name}-monitor-"


def output_uri(settings: Settings, job: str) -> str:
    """Where the job of this name writes its result."""
    return f"{settings.root_uri}/monitor/{job.removeprefix(name_prefix(settings))}"


def of_last_hours(settings: Settings, hours: int) -> Settings:
    """The settings with a window of `hours`. Raises PipelineError for a number that is out of the field's limits."""
    from pydantic import ValidationError

    values = settings.monitoring.model_dump() | {"hours": hours}
    try:
        chosen = type(settings.monitoring).model_validate(values)
    except ValidationError as error:
        raise PipelineError(f"a window of {hours} hours: {error.errors()[0]['msg']}") from error
    return settings.model_copy(update={"monitoring": chosen})


def start(settings: Settings, *, retrain: bool = False) -> MonitorJob:
    """Start a job over the captures up to now. Raises PipelineError where nothing is captured."""
    _check_captured(settings)
    request = job_request(settings, time.strftime("%Y%m%d-%H%M%S", time.gmtime()), retrain=retrain)
    client(settings, "sagemaker").create_processing_job(**request)
    return describe(settings, request["ProcessingJobName"])


def no_captures(settings: Settings) -> str:
    """Why there is nothing to compare, with the remedy; empty where the endpoint of the settings captures photos."""
    if settings.endpoint.mode == "serverless" or not settings.endpoint.capture_percent:
        return "nothing is captured: set endpoint.mode real-time and endpoint.capture_percent above 0"
    return ""


def _check_captured(settings: Settings) -> None:
    if reason := no_captures(settings):
        raise PipelineError(reason)


def describe(settings: Settings, job: str) -> MonitorJob:
    """The present state of the job, with its result. Raises PipelineError where the job or its result is missing."""
    with error_if_missing(f"there is no job {job}"):
        answer = client(settings, "sagemaker").describe_processing_job(ProcessingJobName=job)
    status = answer["ProcessingJobStatus"]
    output = answer["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"]
    drift = {}
    if status == "Completed":
        uri = str(S3Uri.parse(output).join(DRIFT_FILE))
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


def find_schedule(settings: Settings) -> tuple[schedules.Schedule, bool] | None:
    """The monitor's schedule, and whether a drift then starts a run; None without one."""
    scheduler = client(settings, "scheduler")
    answer = exists(scheduler.get_schedule, Name=schedule_name(settings), GroupName=settings.name)
    if answer is None:
        return None
    request = json.loads(answer["Target"].get("Input", "{}"))
    return schedules.of_answer(answer), "--retrain" in request.get("AppSpecification", {}).get("ContainerArguments", [])
