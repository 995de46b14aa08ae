"""What a rule's target gets, when a rule with a schedule fires, and what a rule cannot have.

The kind: members of rules, targets and events that are stored and then have no effect.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from pipeline.local import event_inputs
from pipeline.local.context import Context, ServiceError
from pipeline.local.events import Events
from pipeline.local.store import Store
from tests.unit.pipeline.local.identities import Permissive

RULE = "arn:aws:events:us-east-1:123456789012:rule/r"
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:f"
EVENT = {
    "version": "0",
    "time": "2026-01-02T03:04:05Z",
    "detail-type": "T",
    "source": "mine",
    "resources": ["a", "b"],
    "detail": {"n": 1, "text": 'a "b"', "list": [{"id": 1}, {"id": 2}], "none": None},
}


class Functions:
    """Notes what it is asked to invoke."""

    def __init__(self) -> None:
        self.invoked: list[tuple[str, Any]] = []

    def check(self, name: str) -> None:
        pass

    def invoke_later(self, name: str, payload: bytes) -> None:
        self.invoked.append((name, json.loads(payload)))


class Bus:
    """EventBridge, with the rules and targets that moto has."""

    def __init__(self, directory: Path) -> None:
        self.store = Store(directory / "cloud.sqlite")
        context = Context(directory, "123456789012", "us-east-1", self.store, {})
        self.functions = Functions()
        self.events = Events(context, self.functions, Permissive())  # type: ignore[arg-type]
        self.client = boto3.Session(region_name="us-east-1").client("events")

    def rule(self, name: str, **more: Any) -> str:
        self.events.check("PutRule", {"Name": name, **more})
        return str(self.client.put_rule(Name=name, **more)["RuleArn"])

    def target(self, rule: str, arn: str = FUNCTION, **more: Any) -> None:
        bus = {"EventBusName": more.pop("EventBusName")} if "EventBusName" in more else {}
        targets = [{"Id": "1", "Arn": arn, **more}]
        self.events.check("PutTargets", {"Rule": rule, "Targets": targets})
        self.client.put_targets(Rule=rule, Targets=targets, **bus)

    def put(self, **entry: Any) -> dict[str, Any]:
        entries = [{"Source": "mine", "DetailType": "T", "Detail": '{"n": 1}', **entry}]
        return self.events.operations()["PutEvents"]({"Entries": entries})

    def received(self) -> list[Any]:
        """What functions got, after all deliveries; no other one follows."""
        self.events.close()
        return [payload for _, payload in self.functions.invoked]


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bus]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        started = Bus(tmp_path)
        yield started
        started.events.close()
        started.store.close()


# --------------------------------------------------------------------------------------------------------- inputs


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({}, EVENT),
        ({"Input": '{"a": [1]}'}, {"a": [1]}),
        ({"Input": "3"}, 3),
        ({"InputPath": "$.detail"}, EVENT["detail"]),
        ({"InputPath": "$.detail.list[1].id"}, 2),
        ({"InputPath": "$.detail.list[*].id"}, [1, 2]),
        ({"InputPath": "$.detail-type"}, "T"),
        ({"InputPath": "$"}, EVENT),
    ],
)
def test_a_target_gets_its_own_input(target: dict[str, Any], expected: Any) -> None:
    event_inputs.check({"Id": "1", **target})
    assert json.loads(event_inputs.payload(target, EVENT, RULE)) == expected


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ('"<text> is <n>"', 'a "b" is 1'),
        ('{"a": <text>, "b": "<text>", "c": <n>}', {"a": 'a "b"', "b": 'a "b"', "c": 1}),
        ('{"a": <list>, "b": [<n>, <n>]}', {"a": [{"id": 1}, {"id": 2}], "b": [1, 1]}),
        ('{"a": "x<absent>y", "b": <none>}', {"a": "xy", "b": None}),
        ('{"rule": "<aws.events.rule-name>", "arn": <aws.events.rule-arn>}', {"rule": "r", "arn": RULE}),
        ('{"at": <aws.events.event.ingestion-time>}', {"at": EVENT["time"]}),
        ('{"e": <aws.events.event.json>}', {"e": EVENT}),
        ('{"e": <aws.events.event>}', {"e": {key: value for key, value in EVENT.items() if key != "detail"}}),
    ],
)
def test_a_template_has_parts_of_the_event(template: str, expected: Any) -> None:
    names = ("text", "n", "list", "absent", "none")
    transformer = {"InputPathsMap": {name: f"$.detail.{name}" for name in names}, "InputTemplate": template}
    target = {"Id": "1", "InputTransformer": transformer}
    event_inputs.check(target)
    assert json.loads(event_inputs.payload(target, EVENT, RULE)) == expected


def transformed(template: str, **paths: str) -> dict[str, Any]:
    return {"InputTransformer": {"InputPathsMap": paths, "InputTemplate": template}}


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"Input": "{}", "InputPath": "$.detail"}, "Only one of Input, InputPath, or InputTransformer"),
        ({"Input": "no json"}, "JSON syntax error"),
        ({"InputPath": "detail"}, "Invalid JSON path"),
        ({"InputPath": "$.detail[?(@.a)]"}, "Invalid JSON path"),
        ({"InputPath": "$..id"}, "Invalid JSON path"),
        (transformed('{"a": <b>}', c="$.detail"), "<b> is not in InputPathsMap"),
        (transformed("<a> happened", a="$.detail"), "takes JSON only"),
        (transformed('{"a": 1}', **{"aws.events.x": "$.detail"}), "is reserved"),
    ],
)
def test_an_input_that_cannot_be_made_is_refused_with_the_target(
    bus: Bus, target: dict[str, Any], message: str
) -> None:
    bus.rule("r", EventPattern='{"source": ["mine"]}')
    with pytest.raises(ServiceError, match=re.escape(message)) as caught:
        bus.target("r", **target)
    assert caught.value.code == "ValidationException"


def test_a_target_that_nothing_delivers_to_is_refused(bus: Bus) -> None:
    bus.rule("r", EventPattern='{"source": ["mine"]}')
    for arn in (
        "arn:aws:sqs:us-east-1:123456789012:queue",
        "arn:aws:sagemaker:us-east-1:123456789012:pipeline/p",
        "arn:aws:states:us-east-1:123456789012:stateMachine:function:x",
    ):
        with pytest.raises(ServiceError, match="deliver to Lambda functions only"):
            bus.target("r", arn)


# ---------------------------------------------------------------------------------------------------------- buses


def test_an_event_reaches_the_rules_of_its_bus_only(bus: Bus) -> None:
    bus.client.create_event_bus(Name="other")
    for name in ("default", "other"):
        bus.rule(name, EventPattern='{"source": ["mine"]}', EventBusName=name)
        bus.target(name, EventBusName=name, Input=json.dumps(name))
    bus.put()
    bus.put(EventBusName="other")
    bus.put(EventBusName="arn:aws:events:us-east-1:123456789012:event-bus/other")
    assert bus.put(EventBusName="absent")["FailedEntryCount"] == 1
    assert bus.put(EventBusName="absent")["Entries"][0]["ErrorCode"] == "InvalidArgument"
    assert sorted(bus.received()) == ["default", "other", "other"]


def test_what_was_accepted_is_delivered_before_the_end(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    bus.rule("r", EventPattern='{"source": ["mine"]}')
    bus.target("r")
    invoke = bus.functions.invoke_later
    free = threading.Event()
    monkeypatch.setattr(bus.functions, "invoke_later", lambda *call: free.wait(60) and invoke(*call))
    for _ in range(12):
        bus.put()
    threading.Timer(0.1, free.set).start()
    assert len(bus.received()) == 12


def test_an_event_has_the_time_and_the_resources_of_its_entry(bus: Bus) -> None:
    bus.rule("r", EventPattern='{"source": ["mine"]}')
    bus.target("r")
    bus.put(Time=1_700_000_000, Resources=["arn:x"])
    [event] = bus.received()
    assert (event["time"], event["resources"], event["detail"]) == ("2023-11-14T22:13:20Z", ["arn:x"], {"n": 1})


# ------------------------------------------------------------------------------------------------------ schedules


def test_a_rule_with_a_schedule_fires_at_its_times_and_on_no_event(bus: Bus) -> None:
    arn = bus.rule("r", ScheduleExpression="rate(5 minutes)")
    bus.target("r")
    bus.put()
    at = datetime(2026, 1, 1, tzinfo=UTC)
    for minutes in (0, 4, 5, 6, 9, 10, 31, 32):
        bus.events.fire(at + timedelta(minutes=minutes, seconds=1))
    events = bus.received()
    assert len(events) == 3  # after 5 and 10 minutes, and once for what was missed until 31
    for event in events:
        assert (event["source"], event["detail-type"]) == ("aws.events", "Scheduled Event")
        assert (event["resources"], event["detail"]) == ([arn], {})


def test_a_rule_that_is_paused_or_changed_begins_anew(bus: Bus) -> None:
    bus.rule("r", ScheduleExpression="cron(0 * * * ? *)")
    bus.target("r")
    at = datetime(2026, 1, 1, 0, 30, tzinfo=UTC)
    bus.events.fire(at)
    bus.client.disable_rule(Name="r")
    bus.events.fire(at + timedelta(hours=1))
    bus.client.enable_rule(Name="r")
    bus.events.fire(at + timedelta(hours=2))
    assert bus.functions.invoked == []
    bus.rule("r", ScheduleExpression="cron(45 * * * ? *)")
    bus.events.fire(at + timedelta(hours=2, minutes=1))
    bus.events.fire(at + timedelta(hours=2, minutes=20))
    assert len(bus.received()) == 1


@pytest.mark.parametrize(
    "expression", ["rate(0 minutes)", "at(2030-01-01T00:00:00)", "every hour", "cron(* * * * * *)"]
)
def test_a_schedule_that_no_rule_has_is_refused(bus: Bus, expression: str) -> None:
    with pytest.raises(ServiceError, match="ScheduleExpression is not valid"):
        bus.rule("r", ScheduleExpression=expression)
