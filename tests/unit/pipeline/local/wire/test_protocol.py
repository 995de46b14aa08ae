"""The door of the APIs: signatures are verified, callers are decided, and every request is answered once."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from werkzeug.test import Client, TestResponse
from werkzeug.wrappers import Request, Response

from pipeline.local.context import Context, ServiceError
from pipeline.local.identity import identity
from pipeline.local.identity.caller import Caller
from pipeline.local.identity.identity import Identity
from pipeline.local.machine.functions import Result
from pipeline.local.services import Services
from pipeline.local.store import Store
from pipeline.local.wire import signature
from pipeline.local.wire.protocol import Application

ROOT = ("LOCALKEY", "secret/of+the=root")
ROLE = "arn:aws:iam::123456789012:role/bins-job"
HOST = "127.0.0.1:8770"
FUNCTIONS = "/2015-03-31/functions"


class Functions:
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def configure(self, name: str, request: dict[str, Any], *, created: bool) -> None:
        self.asked.append(("configure", name, request.get("DeadLetterConfig"), created))

    def invoke_later(self, name: str, payload: bytes, qualifier: str = "", client: Any = None) -> None:
        if name == "none-such":
            raise ServiceError("ResourceNotFoundException", "Function not found", 404)
        self.asked.append(("later", name, payload, qualifier, client))

    def check(self, name: str, qualifier: str = "") -> None:
        self.asked.append(("check", name, qualifier))

    def invoke(self, name: str, payload: bytes, *, qualifier: str = "", client: Any = None) -> Result:
        self.asked.append(("now", name, payload, qualifier, client))
        return Result(b'"done"', version=qualifier or "$LATEST", log="x" * 5000 + "END")


class Door:
    """The application in front of services that answer for the test; moto answers with what it was sent."""

    def __init__(self, directory: Path) -> None:
        environment = {
            "AWS_ACCESS_KEY_ID": ROOT[0],
            "AWS_SECRET_ACCESS_KEY": ROOT[1],
            "AWS_ENDPOINT_URL": f"http://{HOST}",
        }
        store = Store(directory / "cloud.sqlite")
        context = Context(directory, "123456789012", "us-east-1", store, environment, credential_seconds=20)
        self.identity = Identity(context)
        self.functions = Functions()
        self.calls: list[tuple[str, str, str, dict[str, Any]]] = []
        self.denied = False
        services = SimpleNamespace(
            functions=self.functions,
            context=context,
            identity=self.identity,
            owns=lambda service, operation: operation in ("DescribeModel", "DescribeStacks"),
            authorize=self._authorize,
            validate=lambda *_: None,
            prepare=functools.partial(Services.prepare, SimpleNamespace(functions=self.functions)),
            call=self._call,
        )
        self.http = Client(Application(services, _moto))  # type: ignore[arg-type]

    def _authorize(self, caller: Caller, service: str, operation: str, request: dict[str, Any]) -> None:
        self.calls.append((caller.principal.arn, service, operation, request))
        if self.denied:
            raise ServiceError("AccessDeniedException", f"{caller.principal.arn} is not authorized")

    def _call(self, service: str, operation: str, request: dict[str, Any], caller: Caller) -> dict[str, Any]:
        self._authorize(caller, service, operation, request)
        return {}

    def send(
        self,
        service: str,
        path: str = "/",
        body: bytes = b"",
        method: str = "POST",
        keys: tuple[str, ...] = ROOT,
        change: Callable[[dict[str, str]], dict[str, str]] = lambda headers: headers,
        **headers: str,
    ) -> TestResponse:
        """Send a signed request; `change` alters its headers after the signature."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = AWSRequest(method, f"http://{HOST}{path}", headers=named, data=body)
        SigV4Auth(Credentials(*keys), service, "us-east-1").add_auth(request)
        sent = change({**dict(request.headers.items()), "Host": HOST})
        return self.http.open(path, method=method, data=body, headers=sent, environ_overrides={"RAW_URI": path})


def _moto(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    return Response(b"moto:" + Request(environ).get_data())(environ, start_response)


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


def describe(door: Door, **more: Any) -> TestResponse:
    target = {"X_Amz_Target": "SageMaker.DescribeModel", "Content_Type": "application/x-amz-json-1.1"}
    return door.send("sagemaker", body=b'{"ModelName": "m"}', **target, **more)


# ------------------------------------------------------------------------------------------------- authentication


def test_a_session_is_known_by_its_token(door: Door) -> None:
    issued = door.identity.sessions.issue(ROLE, "job", 60)
    assert describe(door, keys=(issued.access_key, issued.secret_key, issued.token)).status_code == 200
    arn = "arn:aws:sts::123456789012:assumed-role/bins-job/job"
    assert door.calls == [(arn, "sagemaker", "DescribeModel", {"ModelName": "m"})]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda headers: {**headers, "X-Amz-Target": "SageMaker.DeleteModel"}, "InvalidSignatureException"),
        (lambda headers: {**headers, "X-Amz-Date": "20200101T000000Z"}, "InvalidSignatureException"),
        (lambda headers: {**headers, "X-Amz-Date": "yesterday"}, "IncompleteSignatureException"),
        (lambda headers: {**headers, "X-Amz-Content-SHA256": "0" * 64}, "InvalidSignatureException"),
        (lambda headers: {**headers, "Host": "elsewhere"}, "InvalidSignatureException"),
        (lambda headers: {**headers, "Authorization": "Bearer x"}, "IncompleteSignatureException"),
        (lambda headers: {k: v for k, v in headers.items() if k != "Authorization"}, "MissingAuthenticationToken"),
    ],
)
def test_a_request_that_was_changed_is_refused(
    door: Door, change: Callable[[dict[str, str]], dict[str, str]], code: str
) -> None:
    answer = describe(door, change=change)
    assert (answer.status_code, door.calls) == (403, [])
    assert answer.headers["x-amzn-ErrorType"].startswith(code)


@pytest.mark.parametrize("keys", [(ROOT[0], "another secret"), ("OTHER", ROOT[1]), (*ROOT, "a.forged.token")])
def test_other_keys_are_refused(door: Door, keys: tuple[str, ...]) -> None:
    answer = describe(door, keys=keys)
    assert (answer.status_code, door.calls) == (403, [])


def test_a_session_ends(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    issued = door.identity.sessions.issue(ROLE, "job", -1)
    keys = (issued.access_key, issued.secret_key, issued.token)
    assert describe(door, keys=keys).headers["x-amzn-ErrorType"] == "ExpiredTokenException"
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    answer = door.send("cloudformation", body=b"Action=DescribeStacks", keys=keys, **form)
    assert b"<Code>ExpiredToken</Code>" in answer.data
    assert door.calls == []
    monkeypatch.setattr(signature, "LIFE_SECONDS", -1)
    assert describe(door).headers["x-amzn-ErrorType"] == "InvalidSignatureException"


@pytest.mark.parametrize("path", [f"{FUNCTIONS}/a%20b/invocations", f"{FUNCTIONS}/f/invocations?Qualifier=%24LATEST"])
def test_percent_signs_and_queries_are_signed_as_they_are_sent(door: Door, path: str) -> None:
    assert door.send("lambda", path, b"{}").status_code == 200
    assert door.send("lambda", path, b"{}", change=lambda headers: {**headers, "X-Amz-Date": "x"}).status_code == 403


# ------------------------------------------------------------------------------------------- containers' credentials


def test_a_container_gets_credentials_of_its_role_with_its_token_only(door: Door) -> None:
    environment = door.identity.container_environment(ROLE)
    path = environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"].removeprefix(f"http://{HOST}")
    token = environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
    assert path.startswith(identity.CREDENTIALS_PATH)
    for wrong in ({}, {"Authorization": "x"}, {"Authorization": f"{token}x"}):
        assert door.http.get(path, headers=wrong).status_code == 403
    first, second = (door.http.get(path, headers={"Authorization": token}).get_json() for _ in range(2))
    session = door.identity.sessions.verify(first["AccessKeyId"], first["Token"])
    assert (session.role_arn, session.arn.rsplit("/", 1)[-1]) == (ROLE, "SageMaker")
    assert first["AccessKeyId"] != second["AccessKeyId"]
    assert door.http.get(f"{path}0", headers={"Authorization": token}).status_code == 403


# --------------------------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("method", "path", "name", "created"),
    [("POST", FUNCTIONS, "f", True), ("PUT", f"{FUNCTIONS}/g/configuration", "g", False)],
)
def test_a_functions_queue_is_kept_and_moto_gets_the_request_whole(
    door: Door, method: str, path: str, name: str, created: bool
) -> None:
    config = {"TargetArn": "arn:aws:sqs:us-east-1:123456789012:dead"}
    body = json.dumps({**({"FunctionName": name} if created else {}), "DeadLetterConfig": config}).encode()
    answer = door.send("lambda", path, body, method)
    assert answer.data == b"moto:" + body
    assert door.functions.asked == [("configure", name, config, created)]


def test_what_moto_would_answer_is_decided_before(door: Door) -> None:
    door.denied = True
    body = b"Action=CreateRole&RoleName=r&AssumeRolePolicyDocument=%7B%7D"
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    answer = door.send("iam", body=body, **form)
    assert (answer.status_code, b"moto" in answer.data) == (400, False)
    assert door.calls[0][1:3] == ("iam", "CreateRole")


@pytest.mark.parametrize("body", [b"{", b"[]"])
def test_what_is_no_request_is_refused(door: Door, body: bytes) -> None:
    answer = door.send("lambda", FUNCTIONS, body)
    assert answer.headers["x-amzn-ErrorType"] == "SerializationException"
    assert (door.functions.asked, door.calls) == ([], [])


@pytest.mark.parametrize(
    ("service", "target"),
    [
        ("sagemaker", "SageMaker.NoSuchOperation"),
        ("sagemaker", "AmazonAthena.GetWorkGroup"),
        ("no-such-service", "X.Y"),
        ("../s3", "X.Y"),
    ],
)
def test_an_operation_of_another_service_is_refused(door: Door, service: str, target: str) -> None:
    answer = door.send(service, body=b"{}", X_Amz_Target=target)
    assert answer.headers["x-amzn-ErrorType"] == "UnknownOperationException" or answer.status_code == 403
    assert door.calls == []


@pytest.mark.parametrize(
    ("kind", "status", "asked"),
    [
        ("Event", 202, ("later", "f", b"{}", "", None)),
        ("DryRun", 204, ("check", "f", "")),
        ("RequestResponse", 200, ("now", "f", b"{}", "", None)),
    ],
)
def test_an_invocation_is_of_the_type_that_is_asked_for(
    door: Door, kind: str, status: int, asked: tuple[Any, ...]
) -> None:
    answer = door.send("lambda", f"{FUNCTIONS}/f/invocations", b"{}", X_Amz_Invocation_Type=kind)
    assert (answer.status_code, door.functions.asked) == (status, [asked])


# What is honoured of an invocation, wherever it stands: in the query, in headers, and never in the event itself.
CLIENT = {"custom": {"who": "tester"}}


@pytest.mark.parametrize("event", [b'{"Qualifier": "other", "TenantId": "t"}', b"[1]", b'"text"', b"null", b"3"])
def test_an_event_is_no_part_of_the_request_whatever_its_members_are_called(door: Door, event: bytes) -> None:
    answer = door.send("lambda", f"{FUNCTIONS}/f/invocations?Qualifier=3", event)
    assert answer.status_code == 200, answer.data
    assert door.functions.asked == [("now", "f", event, "3", None)]
    assert answer.headers["X-Amz-Executed-Version"] == "3"
    assert "X-Amz-Log-Result" not in answer.headers


def test_the_tail_of_the_log_and_the_clients_context_are_asked_for_in_headers(door: Door) -> None:
    context = base64.b64encode(json.dumps(CLIENT).encode()).decode()
    headers = {"X_Amz_Log_Type": "Tail", "X_Amz_Client_Context": context}
    answer = door.send("lambda", f"{FUNCTIONS}/f/invocations", b"{}", **headers)
    assert door.functions.asked == [("now", "f", b"{}", "", CLIENT)]
    tail = base64.b64decode(answer.headers["X-Amz-Log-Result"])
    assert (len(tail), tail[-4:]) == (4096, b"xEND")


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"{", {}, "InvalidRequestContentException"),
        (b"{}", {"X_Amz_Client_Context": "no base64"}, "InvalidRequestContentException"),
        (b"{}", {"X_Amz_Client_Context": "WzFd"}, "InvalidRequestContentException"),
        (b"{}", {"X_Amz_Tenant_Id": "t"}, "InvalidParameterValueException"),
        (b"{}", {"X_Amz_Durable_Execution_Name": "d"}, "InvalidParameterValueException"),
    ],
)
def test_what_an_invocation_cannot_honour_is_refused(
    door: Door, body: bytes, headers: dict[str, str], code: str
) -> None:
    answer = door.send("lambda", f"{FUNCTIONS}/f/invocations", body, **headers)
    assert answer.headers["x-amzn-ErrorType"] == code
    assert door.functions.asked == []


def test_an_invocation_is_decided_before_it_begins(door: Door) -> None:
    door.denied = True
    answer = door.send("lambda", f"{FUNCTIONS}/f/invocations", b"{}")
    assert answer.headers["x-amzn-ErrorType"] == "AccessDeniedException"
    assert door.functions.asked == []


def test_an_unknown_type_and_an_unknown_function_are_refused(door: Door) -> None:
    for name, kind, code in (
        ("f", "Sometime", "InvalidParameterValueException"),
        ("none-such", "Event", "ResourceNotFoundException"),
    ):
        answer = door.send("lambda", f"{FUNCTIONS}/{name}/invocations", b"{}", X_Amz_Invocation_Type=kind)
        assert answer.headers["x-amzn-ErrorType"] == code
    assert door.functions.asked == []
