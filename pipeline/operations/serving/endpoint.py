"""The endpoint: its state, its version, its traffic and alarms, and what went wrong lately."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.aws.responses import exists, refusal, says_missing
from pipeline.clients import client
from pipeline.operations.models import registry
from pipeline.operations.runs import logs
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from steps.contracts.names import (
    CONFIG_TAG,
    EVALUATED_CONFIG_TAG,
    PENDING,
    REASON_TAG,
    ROLLED_BACK,
    VARIANT,
    VERDICT_TAG,
    VERSION_TAG,
)

TRAFFIC_MINUTES = 60
ERRORS_SHOWN, DECISIONS_SHOWN = 5, 5
DECISION_DAYS = 14


@dataclass(frozen=True)
class Attempt:
    """The version that was tried last, and what came of it: pending, accepted or rolled-back."""

    version: int
    verdict: str
    reason: str


@dataclass(frozen=True)
class Pending:
    """A change under way: the version that comes, and its share of the traffic by now."""

    version: int | None
    share: float


@dataclass(frozen=True)
class Endpoint:
    """An endpoint as it stands. `package` is the ARN of the model package that it serves."""

    name: str
    status: str
    config: str
    package: str
    changed: datetime
    failure: str = ""
    instances: int = 0
    on: str = ""
    """The instance type, or what is said of a serverless endpoint."""
    captured_percent: int = 0
    captures: str = ""
    pending: Pending | None = None
    tried: Attempt | None = None

    @property
    def version(self) -> int | None:
        """The version of the model package."""
        return _number(self.package)


@dataclass(frozen=True)
class Traffic:
    """Requests of the last TRAFFIC_MINUTES; milliseconds of the model's time, None where there was no request."""

    requests: int
    refused: int
    failed: int
    mean_milliseconds: float | None
    slowest_milliseconds: float | None


@dataclass(frozen=True)
class Alarm:
    """An alarm that rolls a deployment back."""

    name: str
    state: str
    reason: str


@dataclass(frozen=True)
class Decided:
    """A decision of the deploy function."""

    time: datetime
    decision: str
    version: str
    reason: str


@dataclass(frozen=True)
class Health:
    """How the endpoint does."""

    traffic: Traffic
    alarms: tuple[Alarm, ...]
    errors: tuple[logs.Line, ...]
    decisions: tuple[Decided, ...]


def describe(settings: Settings) -> Endpoint:
    """The endpoint of the settings. Raises PipelineError where there is none."""
    sagemaker = client(settings, "sagemaker")
    name = settings.endpoint.name
    found = exists(sagemaker.describe_endpoint, EndpointName=name)
    if found is None:
        raise PipelineError(_absent(settings))
    config = sagemaker.describe_endpoint_config(EndpointConfigName=found["EndpointConfigName"])
    production = config["ProductionVariants"][0]
    serving = (found.get("ProductionVariants") or [{}])[0]
    capture = found.get("DataCaptureConfig") or {}
    return Endpoint(
        name=name,
        status=found["EndpointStatus"],
        config=found["EndpointConfigName"],
        package=_package(sagemaker, production["ModelName"]),
        changed=found["LastModifiedTime"],
        failure=found.get("FailureReason", ""),
        instances=serving.get("CurrentInstanceCount", 0),
        on=production.get("InstanceType", "serverless"),
        captured_percent=capture.get("CurrentSamplingPercentage", 0) if capture.get("EnableCapture") else 0,
        captures=capture.get("DestinationS3Uri", ""),
        pending=_pending(sagemaker, found.get("PendingDeploymentSummary")),
        tried=_tried(sagemaker, found["EndpointArn"]),
    )


def unavailable(settings: Settings) -> str:
    """Why nothing takes photos by the endpoint's name, and what to do about it, as one line."""
    from botocore.exceptions import ClientError

    name = settings.endpoint.name
    try:
        found = exists(client(settings, "sagemaker").describe_endpoint, EndpointName=name)
    except ClientError as error:
        if not refusal(error):
            raise
        return f"the endpoint {name} takes no photos, and {refusal(error)}"
    if found is None:
        return _absent(settings)
    if found["EndpointStatus"] == "InService":
        return f"the endpoint {name} has come up only now; run this command again"
    state = "being created" if found["EndpointStatus"] == "Creating" else found["EndpointStatus"]
    return f"the endpoint {name} is {state} and takes no photos now; see: python -m pipeline endpoint"


def _absent(settings: Settings) -> str:
    """That there is none: nobody has approved a version, or what follows an approval has not made it."""
    from botocore.exceptions import ClientError

    missing = f"there is no endpoint {settings.endpoint.name}"
    try:
        versions = registry.approved(settings)
    except ClientError as error:
        if not (says_missing(error) or refusal(error)):
            raise
        versions = []
    if not versions:
        return f"{missing}; approve a model: python -m pipeline approve latest"
    return (
        f"{missing}, though version {versions[0]} is approved: it is being made, or that went astray;"
        " see: python -m pipeline logs deploy"
    )


def _package(sagemaker: Any, model_name: str) -> str:
    model = sagemaker.describe_model(ModelName=model_name)
    containers = model.get("Containers") or [model.get("PrimaryContainer", {})]
    return str(containers[0].get("ModelPackageName", ""))


def _number(package: str) -> int | None:
    number = package.rsplit("/", 1)[-1]
    return int(number) if number.isdecimal() else None


def _pending(sagemaker: Any, summary: Any) -> Pending | None:
    if not summary:
        return None
    config = sagemaker.describe_endpoint_config(EndpointConfigName=summary["EndpointConfigName"])
    (variant,) = summary.get("ProductionVariants") or [{}]
    package = _package(sagemaker, config["ProductionVariants"][0]["ModelName"])
    return Pending(_number(package), variant.get("CurrentWeight", 0.0))


def _tried(sagemaker: Any, arn: str) -> Attempt | None:
    pages = sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
    tags = {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}
    if not tags.get(VERSION_TAG, "").isdecimal():
        return None
    if tags.get(EVALUATED_CONFIG_TAG) != tags.get(CONFIG_TAG):
        return Attempt(int(tags[VERSION_TAG]), PENDING, "")
    return Attempt(int(tags[VERSION_TAG]), tags.get(VERDICT_TAG, ""), tags.get(REASON_TAG, ""))


def wait(
    settings: Settings,
    package: str,
    *,
    timeout: float,
    interval: float = 2.0,
    sleep: Callable[[float], None] = time.sleep,
) -> Endpoint:
    """Wait until the endpoint serves the model package `package` and has judged it; times are in seconds.

    Raises PipelineError when the deployment fails, is rolled back or takes longer.
    """
    end = time.monotonic() + timeout
    last = "there is none yet"
    while time.monotonic() < end:
        try:
            found = describe(settings)
        except PipelineError as error:
            last = str(error).split(";")[0]
        else:
            if found.status == "Failed":
                raise PipelineError(f"the endpoint {found.name} failed: {found.failure or 'no reason is given'}")
            tried = found.tried
            if tried and tried.version == _number(package) and tried.verdict == ROLLED_BACK:
                raise PipelineError(f"version {tried.version} was rolled back: {tried.reason}")
            judged = tried is None or tried.verdict != PENDING
            if found.status == "InService" and found.package == package and judged:
                return found
            last = f"it is {found.status} with {found.package or found.config}"
        sleep(interval)
    raise PipelineError(
        f"the endpoint {settings.endpoint.name} does not serve {package} after {timeout:.0f} s ({last});"
        " see: python -m pipeline logs deploy"
    )


def health(settings: Settings) -> Health:
    """Traffic, alarms, recent errors of the containers and recent decisions of the deploy function."""
    cloudwatch = client(settings, "cloudwatch")
    found = cloudwatch.describe_alarms(AlarmNames=list(settings.alarms))["MetricAlarms"]
    alarms = tuple(Alarm(one["AlarmName"], one["StateValue"], one.get("StateReason", "")) for one in found)
    return Health(
        traffic=_traffic(settings, cloudwatch),
        alarms=alarms,
        errors=tuple(_recent(settings, logs.endpoint_source(settings), '"error"', TRAFFIC_MINUTES))[-ERRORS_SHOWN:],
        decisions=decisions(settings)[-DECISIONS_SHOWN:],
    )


def _traffic(settings: Settings, cloudwatch: Any) -> Traffic:
    end = datetime.now(UTC) + timedelta(minutes=1)
    period = (TRAFFIC_MINUTES + 1) * 60

    def statistic(metric: str, name: str) -> float | None:
        points = cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=metric,
            Dimensions=[
                {"Name": "EndpointName", "Value": settings.endpoint.name},
                {"Name": "VariantName", "Value": VARIANT},
            ],
            StartTime=end - timedelta(seconds=period),
            EndTime=end,
            Period=period,
            Statistics=[name],
        )["Datapoints"]
        if not points:
            return None
        values = [float(point[name]) for point in points]
        return max(values) if name == "Maximum" else sum(values) / (len(values) if name == "Average" else 1)

    mean, slowest = statistic("ModelLatency", "Average"), statistic("ModelLatency", "Maximum")
    return Traffic(
        requests=round(statistic("Invocations", "Sum") or 0),
        refused=round(statistic("Invocation4XXErrors", "Sum") or 0),
        failed=round(statistic("Invocation5XXErrors", "Sum") or 0),
        mean_milliseconds=mean / 1000 if mean is not None else None,
        slowest_milliseconds=slowest / 1000 if slowest is not None else None,
    )


def decisions(settings: Settings) -> tuple[Decided, ...]:
    """What the deploy function decided in the last DECISION_DAYS and that changed something, oldest first."""
    found = []
    for line in _recent(settings, logs.deploy_source(settings), '"decision"', DECISION_DAYS * 24 * 60):
        try:
            one = json.loads(line.message)
            decided = Decided(line.time, one["decision"], one["model_package_version"], one["reason"])
        except (ValueError, KeyError, TypeError):
            continue  # a line of the function's that only has the word
        if decided.decision != "unchanged":
            found.append(decided)
    return tuple(found)


def _recent(settings: Settings, source: logs.Source, pattern: str, minutes: int) -> Iterator[logs.Line]:
    """Lines of the last minutes that hold the pattern's words; none where nothing was ever written."""
    from botocore.exceptions import ClientError

    since = datetime.now(UTC) - timedelta(minutes=minutes)
    try:
        yield from logs.matching(settings, source, pattern, since)
    except ClientError as error:
        if not says_missing(error):
            raise
