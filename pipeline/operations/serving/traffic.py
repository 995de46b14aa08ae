"""Requests, errors and latency of the endpoint over time, as CloudWatch has them, in one request for all."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.aws.pages import items
from pipeline.clients import client
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from steps.contracts.names import VARIANT

_NAMESPACE = "AWS/SageMaker"
# What is read of an endpoint by id of its query: the metric and its statistic.
# https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html#cloudwatch-metrics-endpoint-invocation
_FIGURES = {
    "requests": ("Invocations", "Sum"),
    "refused": ("Invocation4XXErrors", "Sum"),
    "failed": ("Invocation5XXErrors", "Sum"),
    "p50": ("ModelLatency", "p50"),
    "p90": ("ModelLatency", "p90"),
    "p99": ("ModelLatency", "p99"),
}


@dataclass(frozen=True)
class Window:
    """A time until now: its length, and that of a period, in seconds, with their names.

    CloudWatch has periods of a minute for 15 days, longer than every window here:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html#metrics-retention
    """

    label: str
    seconds: int
    period: int
    period_label: str


# By the word for it in an address.
WINDOWS = {
    "hour": Window("1 hour", 3_600, 60, "minute"),
    "six-hours": Window("6 hours", 6 * 3_600, 300, "5 minutes"),
    "day": Window("1 day", 86_400, 1_800, "30 minutes"),
    "week": Window("1 week", 7 * 86_400, 4 * 3_600, "4 hours"),
}


@dataclass(frozen=True)
class Moment:
    """A period that begins at `time`: its requests, those that were refused (4XX) and that failed (5XX).

    `latency` has percentiles of the model's latency in milliseconds by name, without those that CloudWatch has not.
    """

    time: datetime
    requests: int
    refused: int
    failed: int
    latency: Mapping[str, float]


@dataclass(frozen=True)
class Traffic:
    """The periods of a window that had requests, oldest first; `start` and `end` are the window's."""

    window: Window
    start: datetime
    end: datetime
    moments: tuple[Moment, ...]

    @property
    def requests(self) -> int:
        """All requests."""
        return sum(moment.requests for moment in self.moments)

    @property
    def refused(self) -> int:
        """Requests with an answer of 400 to 499."""
        return sum(moment.refused for moment in self.moments)

    @property
    def failed(self) -> int:
        """Requests with an answer of 500 and above."""
        return sum(moment.failed for moment in self.moments)


def read(settings: Settings, window: Window, now: datetime | None = None) -> Traffic:
    """The endpoint's traffic of a window that ends with the period of `now`, by default the present time.

    Raises PipelineError where CloudWatch has no answer about one of the metrics.
    """
    # Periods begin at their multiples, so that a later look has the same ones.
    stop = math.ceil((now or datetime.now(UTC)).timestamp() / window.period) * window.period
    end = datetime.fromtimestamp(stop, UTC)
    start = end - timedelta(seconds=window.seconds)
    request = {"StartTime": start, "EndTime": end, "ScanBy": "TimestampAscending"}
    queries = [_query(settings, identity, window.period) for identity in _FIGURES]
    figures: dict[datetime, dict[str, float]] = defaultdict(dict)
    paginator = client(settings, "cloudwatch").get_paginator("get_metric_data")
    for result in items(paginator, "MetricDataResults", MetricDataQueries=queries, **request):
        if result["StatusCode"] not in ("Complete", "PartialData"):
            raise PipelineError(f"CloudWatch has no {result['Label']} now ({result['StatusCode']}); look again later")
        for time, value in zip(result["Timestamps"], result["Values"], strict=True):
            figures[time.astimezone(UTC)][result["Id"]] = value
    return Traffic(window, start, end, tuple(_moment(time, figures[time]) for time in sorted(figures)))


def _query(settings: Settings, identity: str, period: int) -> dict[str, Any]:
    name, statistic = _FIGURES[identity]
    dimensions = {"EndpointName": settings.endpoint.name, "VariantName": VARIANT}
    metric = {
        "Namespace": _NAMESPACE,
        "MetricName": name,
        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
    }
    return {
        "Id": identity,
        "Label": f"{name} {statistic}",
        "MetricStat": {"Metric": metric, "Period": period, "Stat": statistic},
    }


def _moment(time: datetime, figures: Mapping[str, float]) -> Moment:
    # CloudWatch has microseconds.
    latency = {name: figures[name] / 1_000 for name in ("p50", "p90", "p99") if name in figures}
    requests, refused, failed = (round(figures.get(name, 0)) for name in ("requests", "refused", "failed"))
    return Moment(time, requests, refused, failed, latency)
