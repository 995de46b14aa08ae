"""Requests to moto: it does what was decided on, however the request is written.

moto finds service, region, account and operation in path, query string, body, headers and user agent. Each test sends a
request that the policies allow as one call and moto would take for another.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.backends import get_backend
from moto.core.models import botocore_stubber
from werkzeug.test import Client, TestResponse

from pipeline.local.context import Context
from pipeline.local.identity.identity import Identity
from pipeline.local.services import Services
from pipeline.local.store import Store
from pipeline.local.wire.protocol import Application, moto_application

ACCOUNT, HOST = "123456789012", "127.0.0.1:8770"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/reader"
TRUST = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:*"}]}
READING = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": ["iam:GetRole", "events:List*", "lambda:ListFunctions"], "Resource": "*"}
    ],
}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/x-amz-json-1.1"}
LIST = {**JSON, "X-Amz-Target": "AWSEvents.ListRules"}


class Door:
    """moto with one role that reads, and a rule, behind the application."""

    def __init__(self, directory: Path) -> None:
        environment = {
            "AWS_ACCESS_KEY_ID": "ROOTKEY",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_ENDPOINT_URL": f"http://{HOST}",
        }
        self.store = Store(directory / "cloud.sqlite")
        context = Context(directory, ACCOUNT, "us-east-1", self.store, environment)
        self.identity = Identity(context)
        services = SimpleNamespace(
            identity=self.identity,
            context=context,
            owns=lambda *_: False,
            functions=SimpleNamespace(),
            prepare=lambda *_: None,
            authorize=self.identity.authorizer.authorize,
            validate=lambda *call: Services.validate(None, *call),  # type: ignore[arg-type]
        )
        moto = moto_application()
        self.http = Client(Application(services, moto))  # type: ignore[arg-type]
        self.iam.create_role("reader", json.dumps(TRUST), "/", None, "", [], "3600")
        self.iam.put_role_policy("reader", "read", json.dumps(READING))
        self.identity.authorizer.changed()
        self.root("events", {"Name": "rule", "ScheduleExpression": "rate(1 day)"}, "AWSEvents.PutRule")
        issued = self.identity.sessions.issue(ROLE, "person", 600)
        self.keys = (issued.access_key, issued.secret_key, issued.token)

    @property
    def iam(self) -> Any:
        return get_backend("iam")[ACCOUNT]["aws"]

    @property
    def rules(self) -> dict[str, str]:
        bus = get_backend("events")[ACCOUNT]["us-east-1"].event_buses["default"]
        return {rule.name: rule.state for rule in bus.rules.values()}

    def root(self, service: str, body: dict[str, Any], target: str) -> TestResponse:
        headers = {**JSON, "X-Amz-Target": target}
        return self.send(service, json.dumps(body).encode(), headers, keys=("ROOTKEY", "secret"))

    def send(
        self,
        service: str,
        body: bytes,
        headers: dict[str, str],
        path: str = "/",
        method: str = "POST",
        region: str = "us-east-1",
        keys: tuple[str, ...] = (),
    ) -> TestResponse:
        request = AWSRequest(method, f"http://{HOST}{path}", headers=dict(headers), data=body)
        SigV4Auth(Credentials(*(keys or self.keys)), service, region).add_auth(request)
        sent = {**dict(request.headers.items()), "Host": HOST}
        return self.http.open(path, method=method, data=body, headers=sent, environ_overrides={"RAW_URI": path})


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    monkeypatch.setenv("MOTO_ACCOUNT_ID", ACCOUNT)
    botocore_stubber.enabled = False
    for service in ("iam", "events", "lambda"):
        get_backend(service).reset()
    opened = Door(tmp_path)
    yield opened
    for service in ("iam", "events", "lambda"):
        get_backend(service).reset()
    opened.store.close()


def test_what_the_role_may_do_is_answered(door: Door) -> None:
    assert b"rule" in door.send("events", b"{}", LIST).data
    assert b"reader" in door.send("iam", b"Action=GetRole&RoleName=reader&Version=2010-05-08", FORM).data
    assert door.send("lambda", b"", {}, "/2015-03-31/functions", "GET").status_code == 200


PUT = b"RoleName=reader&PolicyName=all&PolicyDocument=%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%5D%7D"


@pytest.mark.parametrize(
    "attack",
    [
        lambda door: door.send("iam", b"Action=PutRolePolicy&" + PUT, FORM),
        lambda door: door.send("iam", b"Action=PutRolePolicy&" + PUT + b"&Action=GetRole", FORM),
        lambda door: door.send(
            "iam", b"Action=GetRole&RoleName=reader", FORM, "/?Action=PutRolePolicy&" + PUT.decode()
        ),
        lambda door: door.send("iam", b"Action=GetRole&RoleName=reader", {**FORM, "Action": "PutRolePolicy"}),
        lambda door: door.send("events", b'{"Name": "rule"}', LIST, "/?Action=DisableRule"),
        lambda door: door.send("events", b'{"NextToken": "&Action=DeleteRule&Name=rule&"}', LIST),
        lambda door: door.send("events", b'{"Name": "rule"}', {**LIST, "Action": "DeleteRule"}),
        lambda door: door.send("events", b"Action=DeleteRule&Name=rule", {**LIST, **FORM}),
        lambda door: door.send("events", b'{"NextToken": "&Action=DeleteRule&Name=rule&"}', {**LIST, **FORM}),
        lambda door: door.send("events", b"Action=ListRules&Name=rule", {**FORM, "X-Amz-Target": ""}),
        lambda door: door.send("iam", b'{"RoleName": "reader"}', {**JSON, "X-Amz-Target": "None.GetRole"}),
        lambda door: door.send("events", b"{}", {**LIST, "X-Amz-Target": "AWSEvents.ListRules.DeleteRule"}),
        lambda door: door.send("events", b"{}", LIST, "/moto-api/reset"),
        lambda door: door.send("events", b"{}", LIST, "//moto-api/reset"),
        lambda door: door.send("lambda", b"", {}, "/2015-03-31/functions?Action=DeleteFunction", "GET"),
        lambda door: door.send("lambda", b"", {}, "/2015-03-31/functions/x%2Fpolicy", "GET"),
        lambda door: door.send("lambda", b"", {}, "/moto-api/reset", "POST"),
    ],
)
def test_a_request_that_reads_two_ways_changes_nothing(door: Door, attack: Callable[[Door], TestResponse]) -> None:
    before = (dict(door.iam.roles), door.iam.get_role("reader").policies, door.rules)
    attack(door)
    assert (dict(door.iam.roles), door.iam.get_role("reader").policies, door.rules) == before


def test_another_region_and_another_account_are_refused(door: Door) -> None:
    body = b'{"Name": "new", "ScheduleExpression": "rate(1 day)"}'
    headers = {**JSON, "X-Amz-Target": "AWSEvents.PutRule"}
    assert door.send("events", body, headers, region="us-west-2", keys=("ROOTKEY", "secret")).status_code == 403
    elsewhere = {"X-Moto-Account-Id": "111111111111", "User-Agent": "x region/eu-west-1"}
    answer = door.send("events", body, {**headers, **elsewhere}, keys=("ROOTKEY", "secret"))
    assert answer.status_code == 200
    assert "new" in door.rules


def test_a_change_of_iam_counts_at_once(door: Door) -> None:
    delete = b"Action=DeleteRolePolicy&RoleName=reader&PolicyName=read&Version=2010-05-08"
    assert door.send("iam", delete, FORM, keys=("ROOTKEY", "secret")).status_code == 200
    assert door.send("events", b"{}", LIST).status_code == 400


def test_a_compressed_body_is_read_and_a_bomb_is_not(door: Door) -> None:
    headers = {**LIST, "Content-Encoding": "gzip"}
    assert b"rule" in door.send("events", gzip.compress(b"{}"), headers).data
    for body in (b"no gzip", gzip.compress(b"{}")[:-4], gzip.compress(b" " * 70_000_000)):
        assert door.send("events", body, headers).headers["x-amzn-ErrorType"] == "SerializationException"
    assert door.send("events", b"{}", {**LIST, "Content-Encoding": "br"}).status_code == 400
