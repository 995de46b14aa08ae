"""Requests of AWS's REST-JSON protocol, as boto3 sends them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import boto3
import pytest
from werkzeug.datastructures import MultiDict

from pipeline.local.context import ServiceError
from pipeline.local.wire import rest

TARGET = {"Arn": "arn:aws:sagemaker:us-east-1:123456789012:pipeline/p", "RoleArn": "arn:aws:iam::123456789012:role/r"}


def as_sent(operation: str, **request: Any) -> tuple[str, dict[str, Any]]:
    """What is read of the request that boto3 makes of a call."""
    client = boto3.client(
        "scheduler", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x", endpoint_url="http://x"
    )
    sent = {}

    def keep(request: Any, **_: Any) -> Any:
        sent.update(method=request.method, url=request.url, body=request.body or b"")
        raise InterruptedError

    client.meta.events.register("before-send", keep)
    with pytest.raises(InterruptedError):
        getattr(client, operation)(**request)
    url = urlsplit(sent["url"])
    return rest.parse("scheduler", sent["method"], url.path, MultiDict(parse_qsl(url.query)), sent["body"])


def test_a_name_is_in_the_path_and_the_rest_in_the_body() -> None:
    operation, request = as_sent(
        "create_schedule",
        Name="a-b.c",
        ScheduleExpression="rate(1 day)",
        FlexibleTimeWindow={"Mode": "OFF"},
        StartDate=datetime(2030, 1, 1, tzinfo=UTC),
        Target=TARGET,
        ClientToken="t",
    )
    assert operation == "CreateSchedule"
    assert request == {
        "Name": "a-b.c",
        "ScheduleExpression": "rate(1 day)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "StartDate": 1893456000,
        "Target": TARGET,
        "ClientToken": "t",
    }


def test_a_query_is_read_by_the_names_and_types_that_it_has_in_the_model() -> None:
    assert as_sent("list_schedules", GroupName="g", NamePrefix="p", MaxResults=5) == (
        "ListSchedules",
        {"GroupName": "g", "NamePrefix": "p", "MaxResults": 5},
    )
    assert as_sent("delete_schedule", Name="n", GroupName="g", ClientToken="t") == (
        "DeleteSchedule",
        {"Name": "n", "GroupName": "g", "ClientToken": "t"},
    )


def test_a_name_that_needs_quoting_arrives_as_it_was() -> None:
    assert as_sent("get_schedule", Name="a/b ö") == ("GetSchedule", {"Name": "a/b ö"})


def test_what_is_no_operation_and_no_json_object_is_refused() -> None:
    for path, body, code in (
        ("/nothing", b"", "UnknownOperationException"),
        ("/schedules/x", b"{", "SerializationException"),
        ("/schedules/x", b"[]", "SerializationException"),
    ):
        with pytest.raises(ServiceError) as error:
            rest.parse("scheduler", "POST", path, MultiDict(), body)
        assert error.value.code == code


@pytest.mark.parametrize("body", [b'{"Qualifier": "mine"}', b'{"FunctionName": "other"}'])
def test_a_member_of_the_path_or_the_query_is_in_no_body(body: bytes) -> None:
    with pytest.raises(ServiceError, match="The body has members of the path or query"):
        rest.parse("lambda", "DELETE", "/2015-03-31/functions/f", MultiDict(), body)
