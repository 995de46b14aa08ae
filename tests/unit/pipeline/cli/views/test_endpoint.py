"""The endpoint's page in a terminal."""

from __future__ import annotations

import dataclasses
import io
from datetime import UTC, datetime

from rich.console import Console

from pipeline.cli.views.endpoint import counts_table, endpoint_page
from pipeline.operations.cost.before import HourlyCost
from pipeline.operations.cost.money import ZERO, Range
from pipeline.operations.runs.logs import Line
from pipeline.operations.serving.endpoint import Alarm, Attempt, DeployDecision, Endpoint, Health, Traffic
from pipeline.operations.serving.rollout import Pending
from pipeline.texts import moment

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
PACKAGE = "arn:aws:sagemaker:us-east-1:123456789012:model-package/bins/7"
QUIET = Health(Traffic(0, 0, 0, None, None), (), (), ())
PLAIN = Endpoint("bins", "InService", "bins-v7-abc", PACKAGE, NOW, instances=2, on="ml.c5.xlarge")


HOURLY = HourlyCost("2 x ml.c5.xlarge", Range.of("0.408"))


def shown(endpoint: Endpoint, health: Health, hourly: HourlyCost = HOURLY, *, local: bool = False) -> list[str]:
    console = Console(file=io.StringIO(), width=150)
    for part in endpoint_page(endpoint, health, hourly, local=local):
        console.print(part)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_an_endpoint_without_requests_has_its_version_and_instances() -> None:
    lines = shown(PLAIN, QUIET)
    assert lines[0].startswith("bins InService since ")
    assert lines[1:] == [
        "version 7",
        f"package {PACKAGE}",
        "instances 2 x ml.c5.xlarge",
        "cost $0.41 an hour, $297.84 a month (2 x ml.c5.xlarge)",
        "configuration bins-v7-abc",
        "traffic no requests in the last 60 minutes",
    ]


def cost_line(hourly: HourlyCost, *, local: bool = False) -> str:
    [line] = [line for line in shown(PLAIN, QUIET, hourly, local=local) if line.startswith("cost ")]
    return line


def test_the_cost_of_an_endpoint_is_said_for_every_kind_of_one() -> None:
    assert (
        cost_line(HOURLY, local=True) == "cost nothing here; on AWS $0.41 an hour, $297.84 a month (2 x ml.c5.xlarge)"
    )
    assert cost_line(HourlyCost("serverless", ZERO)) == "cost nothing without requests (serverless)"
    assert cost_line(HourlyCost("1 to 4 x ml.m5.large", Range.of(1, 4))).startswith("cost $1.00 to $4.00 an hour, ")
    unknown = HourlyCost("ml.x9.large", None, "no price for ml.x9.large: add it")
    assert cost_line(unknown) == "cost an amount that is not known (no price for ml.x9.large: add it)"


def test_a_deployment_in_progress_and_failures_are_shown() -> None:
    endpoint = dataclasses.replace(
        PLAIN,
        failure="alarms went off",
        captured_percent=10,
        captures="s3://b/captures",
        pending=Pending(8, 0.1),
        tried=Attempt(8, "rolled-back", "smoke test: photo 00001"),
    )
    health = Health(
        Traffic(1234, 5, 6, 30.4, 99.6),
        (Alarm("bins-5xx", "ALARM", "5 errors"), Alarm("bins-latency", "OK", "fine")),
        (Line(NOW, "inference", "the network's thread ended"),),
        (DeployDecision(NOW, "rolled-back", "8", "the smoke test was wrong"),),
    )
    page = "\n".join(shown(endpoint, health))
    for text in (
        "deploying version 8, which has 10% of the traffic",
        "last deployment version 8 rolled-back: smoke test: photo 00001",
        "traffic 1,234 requests in the last 60 minutes, 5 refused, 6 failed, 30 ms on average, 100 ms at most",
        "alarm bins-5xx ALARM 5 errors",
        "alarm bins-latency OK\n",
        "data capture 10% of the requests, to s3://b/captures",
        "alarms went off",
        "rolled-back the smoke test was wrong",
        "the network's thread ended",
    ):
        assert text in page
    assert "fine" not in page


def test_a_canary_has_the_time_when_all_traffic_moves() -> None:
    page = "\n".join(shown(dataclasses.replace(PLAIN, pending=Pending(8, 0.1, "Baking", NOW)), QUIET))
    assert f"deploying version 8, which has 10% of the traffic, and all of it from {moment(NOW)} on" in page


def test_counts_come_in_their_order_and_reasons_by_their_number() -> None:
    console = Console(file=io.StringIO(), width=80)
    console.print(counts_table({10: 1, 2: 1234}, {"rare": 1, "common": 9}))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line.split() for line in lines[1:]] == [["2", "1,234"], ["10", "1"], ["common", "9"], ["rare", "1"]]
