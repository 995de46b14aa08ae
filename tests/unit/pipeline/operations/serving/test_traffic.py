"""The endpoint's traffic over time, as CloudWatch has it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from pipeline.local.cloudwatch import CloudWatch
from pipeline.operations.serving import traffic
from pipeline.operations.serving.traffic import WINDOWS
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

NOW = datetime.now(UTC)


@pytest.fixture
def cloudwatch(account: None) -> Iterator[Any]:
    """moto with the local cloud's GetMetricData, which has percentiles."""
    context: Any = SimpleNamespace(account_id="111122223333", region="us-east-1")
    evaluation = CloudWatch(context, lambda *_: None)
    evaluation.start()
    yield boto3.client("cloudwatch", region_name="us-east-1")
    evaluation.close()


def put(cloudwatch: Any, at: datetime, variant: str = "AllTraffic", **values: float) -> None:
    dimensions = [{"Name": "EndpointName", "Value": "bins"}, {"Name": "VariantName", "Value": variant}]
    data = [{"MetricName": name, "Dimensions": dimensions, "Timestamp": at, "Value": values[name]} for name in values]
    cloudwatch.put_metric_data(Namespace="AWS/SageMaker", MetricData=data)


def test_a_window_has_its_periods_with_requests_errors_and_percentiles_in_one_request(
    cloudwatch: Any, settings: Settings
) -> None:
    for number in range(1, 101):
        put(cloudwatch, NOW - timedelta(minutes=30), Invocations=1, ModelLatency=number * 1_000)
    put(cloudwatch, NOW - timedelta(minutes=10), Invocations=3, Invocation4XXErrors=1, Invocation5XXErrors=2)
    put(cloudwatch, NOW - timedelta(minutes=90), Invocations=7)
    put(cloudwatch, NOW - timedelta(minutes=5), variant="Other", Invocations=7)
    asked: list[str] = []
    boto3.DEFAULT_SESSION.events.register_first(
        "before-send.cloudwatch", lambda event_name, **_: asked.append(event_name)
    )
    read = traffic.read(settings, WINDOWS["hour"], NOW)
    assert asked == ["before-send.cloudwatch.GetMetricData"]
    assert [(moment.requests, moment.refused, moment.failed) for moment in read.moments] == [(100, 0, 0), (3, 1, 2)]
    assert read.moments[0].latency == {"p50": 50.0, "p90": 90.0, "p99": 99.0}
    assert read.moments[1].latency == {}
    assert (read.requests, read.refused, read.failed) == (103, 1, 2)


@pytest.mark.parametrize("name", WINDOWS)
def test_every_window_ends_with_the_present_period_and_has_periods_of_its_length(
    cloudwatch: Any, settings: Settings, name: str
) -> None:
    window = WINDOWS[name]
    put(cloudwatch, NOW, Invocations=1)
    put(cloudwatch, NOW - timedelta(seconds=window.seconds / 2), Invocations=1)
    read = traffic.read(settings, window, NOW)
    assert read.end - read.start == timedelta(seconds=window.seconds)
    assert timedelta() <= read.end - NOW < timedelta(seconds=window.period)
    assert sum(moment.requests for moment in read.moments) == 2
    assert all((moment.time - read.start).total_seconds() % window.period == 0 for moment in read.moments)


def test_without_requests_there_are_no_periods(cloudwatch: Any, settings: Settings) -> None:
    assert traffic.read(settings, WINDOWS["week"]).moments == ()


def test_a_metric_that_cloudwatch_does_not_answer_is_named(account: None, settings: Settings) -> None:
    def fail(parsed: dict[str, Any], **_: Any) -> None:
        for result in parsed["MetricDataResults"]:
            result["StatusCode"] = "InternalError"

    boto3.setup_default_session()
    boto3.DEFAULT_SESSION.events.register("after-call.cloudwatch.GetMetricData", fail)
    with pytest.raises(PipelineError, match=r"CloudWatch has no Invocations Sum now \(InternalError\)"):
        traffic.read(settings, WINDOWS["hour"])
