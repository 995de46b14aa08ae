"""What the front door does with Lambda's requests, with services that the test answers for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from werkzeug.test import Client
from werkzeug.wrappers import Request, Response

from pipeline.local import faults
from pipeline.local.context import ServiceError
from pipeline.local.machine.functions import Result
from pipeline.local.wire.protocol import Application

CREDENTIAL = {"Authorization": "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/lambda/aws4_request"}


class Functions:
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def configure(self, name: str, request: dict[str, Any], *, created: bool) -> None:
        self.asked.append(("configure", name, request.get("DeadLetterConfig"), created))

    def invoke_later(self, name: str, payload: bytes) -> None:
        if name == "none-such":
            raise ServiceError("ResourceNotFoundException", "Function not found", 404)
        self.asked.append(("later", name, payload))

    def check(self, name: str) -> None:
        self.asked.append(("check", name))

    def invoke(self, name: str, payload: bytes) -> Result:
        self.asked.append(("now", name, payload))
        return Result(b'"done"')


@pytest.fixture
def functions() -> Functions:
    return Functions()


@pytest.fixture
def client(functions: Functions, tmp_path: Path) -> Client:
    """Moto answers with what it was sent."""

    def moto(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        return Response(b"moto:" + Request(environ).get_data())(environ, start_response)

    services = SimpleNamespace(
        functions=functions,
        context=SimpleNamespace(environment={"AWS_ACCESS_KEY_ID": "key"}, directory=tmp_path),
        owns=lambda *_: False,
    )
    return Client(Application(services, moto))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "path", "name", "created"),
    [("POST", "/2015-03-31/functions", "f", True), ("PUT", "/2015-03-31/functions/g/configuration", "g", False)],
)
def test_a_functions_queue_is_kept_and_moto_gets_the_request_whole(
    client: Client, functions: Functions, method: str, path: str, name: str, created: bool
) -> None:
    config = {"TargetArn": "arn:aws:sqs:us-east-1:123456789012:dead"}
    body = json.dumps({"FunctionName": "f", "DeadLetterConfig": config}).encode()
    answer = client.open(path, method=method, data=body, headers=CREDENTIAL)
    assert answer.data == b"moto:" + body
    assert functions.asked == [("configure", name, config, created)]


@pytest.mark.parametrize("body", [b"{", b"[]"])
def test_what_is_no_request_is_for_moto_to_refuse(client: Client, functions: Functions, body: bytes) -> None:
    answer = client.post("/2015-03-31/functions", data=body, headers=CREDENTIAL)
    assert (answer.data, functions.asked) == (b"moto:" + body, [])


@pytest.mark.parametrize(
    ("kind", "status", "asked"),
    [
        ("Event", 202, ("later", "f", b"{}")),
        ("DryRun", 204, ("check", "f")),
        ("RequestResponse", 200, ("now", "f", b"{}")),
    ],
)
def test_an_invocation_is_of_the_type_that_is_asked_for(
    client: Client, functions: Functions, kind: str, status: int, asked: tuple[Any, ...]
) -> None:
    headers = {**CREDENTIAL, "X-Amz-Invocation-Type": kind}
    answer = client.post("/2015-03-31/functions/f/invocations", data=b"{}", headers=headers)
    assert (answer.status_code, functions.asked) == (status, [asked])


def test_an_unknown_type_and_an_unknown_function_are_refused(client: Client, functions: Functions) -> None:
    for name, kind, code in (
        ("f", "Sometime", "InvalidParameterValueException"),
        ("none-such", "Event", "ResourceNotFoundException"),
    ):
        headers = {**CREDENTIAL, "X-Amz-Invocation-Type": kind}
        answer = client.post(f"/2015-03-31/functions/{name}/invocations", data=b"{}", headers=headers)
        assert answer.headers["x-amzn-ErrorType"] == code
    assert functions.asked == []


def test_a_throttled_call_reaches_no_service(client: Client, functions: Functions, tmp_path: Path) -> None:
    faults.write(tmp_path, faults.Plan(throttled=1.0))
    answer = client.post("/2015-03-31/functions/deploy/invocations", data=b"{}", headers=CREDENTIAL)
    assert (answer.status_code, answer.headers["x-amzn-ErrorType"]) == (429, "TooManyRequestsException")
    assert functions.asked == []
    assert faults.counts(tmp_path) == {faults.THROTTLED: 1}
