"""The endpoint: its state, version, traffic, alarms and recent errors."""

from __future__ import annotations

import json
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import fmean
from typing import Any

from pipeline.aws.arns import name_of
from pipeline.aws.pages import items
from pipeline.aws.responses import exists, refusal, says_missing
from pipeline.aws.waiting import wait_until
from pipeline.clients import client
from pipeline.operations.models import registry
from pipeline.operations.runs import logs
from pipeline.operations.serving import rollout
from pipeline.operations.serving.rollout import Pending
from pipeline.settings import Settings
from steps.contracts import names
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
# Lambda's attempts at an event, and how often the log is asked about them.
ATTEMPTS, LOG_SECONDS = 3, 15.0
_STARTED = re.compile(r"^START RequestId: (\S+)")
_ENDED = re.compile(r"^END RequestId: (\S+)|(\S+) Task timed out after ")
ERRORS_SHOWN, DECISIONS_SHOWN = 5, 5
DECISION_DAYS = 14
DECISION_MINUTES = DECISION_DAYS * 24 * 60
_COMBINE: dict[str, Callable[[list[float]], float]] = {"Maximum": max, "Average": fmean, "Sum": sum}


@dataclass(frozen=True)
class Attempt:
    """The version of the last deployment, and its verdict: pending, accepted or rolled-back."""

    version: int
    verdict: str
    reason: str


@dataclass(frozen=True)
class Endpoint:
    """The state of an endpoint. `package` is the ARN of its model package."""

    name: str
    status: str
    config: str
    package: str
    changed: datetime
    failure: str = ""
    instances: int = 0
    on: str = ""
    """The instance type, or `serverless`."""
    image: str = ""
    """The serving image of the version that serves."""
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
    """Requests of the last TRAFFIC_MINUTES; milliseconds are the model's latency, None without a request."""

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
class DeployDecision:
    """A decision of the deploy function."""

    time: datetime
    decision: str
    version: str
    reason: str


@dataclass(frozen=True)
class Health:
    """The endpoint's traffic, alarms, errors and deployments."""

    traffic: Traffic
    alarms: tuple[Alarm, ...]
    errors: tuple[logs.Line, ...]
    decisions: tuple[DeployDecision, ...]


def describe(settings: Settings) -> Endpoint:
    """The endpoint of the settings. Raises PipelineError where there is none."""
    described = find(settings)
    if described is None:
        raise PipelineError(_missing(settings))
    return described


def find(settings: Settings) -> Endpoint | None:
    """The endpoint of the settings; None where there is none."""
    sagemaker = client(settings, "sagemaker")
    name = settings.endpoint.name
    answer = exists(sagemaker.describe_endpoint, EndpointName=name)
    if answer is None:
        return None
    config = sagemaker.describe_endpoint_config(EndpointConfigName=answer["EndpointConfigName"])
    production = config["ProductionVariants"][0]
    serving = (answer.get("ProductionVariants") or [{}])[0]
    capture = answer.get("DataCaptureConfig") or {}
    return Endpoint(
        name=name,
        status=answer["EndpointStatus"],
        config=answer["EndpointConfigName"],
        package=package_of(sagemaker, production["ModelName"]),
        changed=answer["LastModifiedTime"],
        failure=answer.get("FailureReason", ""),
        instances=serving.get("CurrentInstanceCount", 0),
        on=production.get("InstanceType", "serverless"),
        image=next((image.get("SpecifiedImage", "") for image in serving.get("DeployedImages") or ()), ""),
        captured_percent=capture.get("CurrentSamplingPercentage", 0) if capture.get("EnableCapture") else 0,
        captures=capture.get("DestinationS3Uri", ""),
        pending=_pending(sagemaker, answer),
        tried=_tried(sagemaker, answer["EndpointArn"]),
    )


def unavailable(settings: Settings) -> str:
    """Why the endpoint accepts no photos, and what to do about it, as one line."""
    from botocore.exceptions import ClientError

    name = settings.endpoint.name
    try:
        answer = exists(client(settings, "sagemaker").describe_endpoint, EndpointName=name)
    except ClientError as error:
        if not refusal(error):
            raise
        return f"the endpoint {name} accepts no photos, and {refusal(error)}"
    if answer is None:
        return _missing(settings)
    if answer["EndpointStatus"] == "InService":
        return f"the endpoint {name} has just started; run this command again"
    state = "being created" if answer["EndpointStatus"] == "Creating" else answer["EndpointStatus"]
    return f"the endpoint {name} is {state} and accepts no photos now; see: python -m pipeline endpoint"


def _missing(settings: Settings) -> str:
    """A message for a missing endpoint: no version is approved, or the deployment after an approval failed."""
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
        f"{missing}, although version {versions[0]} is approved: its deployment is in progress or failed;"
        " see: python -m pipeline logs deploy"
    )


def package_of(sagemaker: Any, model: str) -> str:
    """ARN of a model's package; empty where the model does not exist or has none."""
    return names.package_of(exists(sagemaker.describe_model, ModelName=model) or {})


def _number(package: str) -> int | None:
    number = name_of(package)
    return int(number) if number.isdecimal() else None


def _pending(sagemaker: Any, answer: Any) -> Pending | None:
    summary = answer.get("PendingDeploymentSummary")
    if not summary:
        return None
    config = sagemaker.describe_endpoint_config(EndpointConfigName=summary["EndpointConfigName"])
    package = package_of(sagemaker, config["ProductionVariants"][0]["ModelName"])
    return rollout.pending(_number(package), summary, answer.get("LastDeploymentConfig") or {})


def _tried(sagemaker: Any, arn: str) -> Attempt | None:
    tags = {tag["Key"]: tag["Value"] for tag in items(sagemaker.get_paginator("list_tags"), "Tags", ResourceArn=arn)}
    if not tags.get(VERSION_TAG, "").isdecimal():
        return None
    if tags.get(EVALUATED_CONFIG_TAG) != tags.get(CONFIG_TAG):
        return Attempt(int(tags[VERSION_TAG]), PENDING, "")
    return Attempt(int(tags[VERSION_TAG]), tags.get(VERDICT_TAG, ""), tags.get(REASON_TAG, ""))


def wait(settings: Settings, package: str, *, timeout: float, interval: float = 2.0) -> Endpoint:
    """Wait until the endpoint serves the model package `package` with a final verdict; times are in seconds.

    Raises PipelineError when the deployment fails, is rolled back or takes longer.
    """
    state, died = "it does not exist yet", _DeadFunction(settings, package)

    def look() -> Endpoint | None:
        nonlocal state
        died.check()
        try:
            endpoint = describe(settings)
        except PipelineError as error:
            state = str(error).split(";")[0]
            return None
        if endpoint.status == "Failed":
            raise PipelineError(f"the endpoint {endpoint.name} failed: {endpoint.failure or 'no reason given'}")
        tried = endpoint.tried
        if tried and tried.version == _number(package) and tried.verdict == ROLLED_BACK:
            raise PipelineError(f"version {tried.version} was rolled back: {tried.reason}")
        state = f"it is {endpoint.status} with {endpoint.package or endpoint.config}"
        is_final = tried is None or tried.verdict != PENDING
        return endpoint if endpoint.status == "InService" and endpoint.package == package and is_final else None

    endpoint = wait_until(look, timeout, interval)
    if endpoint is None:
        raise PipelineError(
            f"the endpoint {settings.endpoint.name} does not serve {package} after {timeout:.0f} s ({state});"
            " see: python -m pipeline logs deploy"
        )
    return endpoint


class _DeadFunction:
    """Notices in the deploy function's log that it died at each attempt, after which nobody deploys any more.

    Lambda invokes a function for an event again, twice, when it fails:
    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html. All attempts are
    assumed to have one request id in the log.
    """

    def __init__(self, settings: Settings, package: str) -> None:
        self._settings, self._package = settings, package
        self._since, self._next = time.time() - LOG_SECONDS, time.monotonic() + LOG_SECONDS

    def check(self) -> None:
        """Raise PipelineError once the last attempt has ended without a decision; it asks every LOG_SECONDS."""
        from botocore.exceptions import ClientError

        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + LOG_SECONDS
        try:
            lines = [line.message for line in _recent_lines(self._settings, self._since)]
        except ClientError as error:
            if not refusal(error):
                raise
            self._next = math.inf  # these credentials may not read the log: the deployment is waited for without it
            return
        if reason := dead(lines):
            raise PipelineError(
                f"the deploy function failed {ATTEMPTS} times and is not invoked again: {reason}; see: python -m"
                f" pipeline logs deploy; after the repair: python -m pipeline deploy {_number(self._package)}"
            )


def _recent_lines(settings: Settings, since: float) -> Iterator[logs.Line]:
    return logs.matching(settings, logs.deploy_source(settings), "", since)


def dead(lines: Iterable[str]) -> str:
    """The last line of an event's last attempt, where each of its ATTEMPTS ended without a decision; else empty."""
    attempts: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    last = ""
    for line in lines:
        if match := _STARTED.search(line):
            attempts[match[1]] += 1
        elif match := _ENDED.search(line):
            ended[match[1] or match[2]] += 1
            last = line.strip() if "timed out" in line else last
        elif '"decision"' in line:
            attempts.clear()
            ended.clear()
        elif line.strip() and not line.startswith("REPORT "):
            last = line.strip()
    is_dead = any(number >= ATTEMPTS and ended[request] >= ATTEMPTS for request, number in attempts.items())
    return (last or "no reason in its log") if is_dead else ""


def health(settings: Settings) -> Health:
    """Traffic, alarms, recent errors of the containers and recent decisions of the deploy function."""
    return Health(
        traffic=_traffic(settings, client(settings, "cloudwatch")),
        alarms=alarms(settings),
        errors=errors(settings),
        decisions=decisions(settings)[-DECISIONS_SHOWN:],
    )


def errors(settings: Settings) -> tuple[logs.Line, ...]:
    """The latest errors of the containers within TRAFFIC_MINUTES, oldest first."""
    return tuple(_recent(settings, logs.endpoint_source(settings), '"error"', TRAFFIC_MINUTES))[-ERRORS_SHOWN:]


def alarms(settings: Settings) -> tuple[Alarm, ...]:
    """The alarms of the settings that exist."""
    described = client(settings, "cloudwatch").describe_alarms(AlarmNames=list(settings.alarms))["MetricAlarms"]
    return tuple(Alarm(alarm["AlarmName"], alarm["StateValue"], alarm.get("StateReason", "")) for alarm in described)


def _traffic(settings: Settings, cloudwatch: Any) -> Traffic:
    end = datetime.now(UTC) + timedelta(minutes=1)
    period = (TRAFFIC_MINUTES + 1) * 60
    dimensions = {"EndpointName": settings.endpoint.name, "VariantName": VARIANT}

    def statistic(metric: str, name: str) -> float | None:
        points = cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=metric,
            Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
            StartTime=end - timedelta(seconds=period),
            EndTime=end,
            Period=period,
            Statistics=[name],
        )["Datapoints"]
        return _COMBINE[name]([float(point[name]) for point in points]) if points else None

    mean, slowest = statistic("ModelLatency", "Average"), statistic("ModelLatency", "Maximum")
    return Traffic(
        requests=round(statistic("Invocations", "Sum") or 0),
        refused=round(statistic("Invocation4XXErrors", "Sum") or 0),
        failed=round(statistic("Invocation5XXErrors", "Sum") or 0),
        mean_milliseconds=mean / 1000 if mean is not None else None,
        slowest_milliseconds=slowest / 1000 if slowest is not None else None,
    )


def decisions(settings: Settings) -> tuple[DeployDecision, ...]:
    """The decisions of the last DECISION_DAYS that changed something, of both functions, oldest first."""
    collected = []
    sources = logs.deploy_source(settings), logs.rollback_source(settings)
    for line in (line for source in sources for line in _recent(settings, source, '"decision"', DECISION_MINUTES)):
        try:
            record = json.loads(line.message)
            decision = DeployDecision(line.time, record["decision"], record["model_package_version"], record["reason"])
        except (ValueError, KeyError, TypeError):
            continue  # another line of the function that contains the word
        if decision.decision != "unchanged":
            collected.append(decision)
    return tuple(sorted(collected, key=lambda decision: decision.time))


def _recent(settings: Settings, source: logs.LogSource, pattern: str, minutes: int) -> Iterator[logs.Line]:
    return logs.matching(settings, source, pattern, time.time() - 60 * minutes)
