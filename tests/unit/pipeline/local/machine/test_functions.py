"""Asynchronous invocations: three attempts, then the function's dead-letter queue."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from pipeline.local.context import Context, ServiceError
from pipeline.local.logs import Logs
from pipeline.local.machine import functions
from pipeline.local.machine.functions import Functions
from pipeline.local.store import Store
from tests.unit.pipeline.local.identities import Permissive

QUEUE = "arn:aws:sqs:us-east-1:123456789012:dead"
# Counts its calls in a file, and fails as often as its file states.
SOURCE = """
import os, pathlib
def handle(event, context):
    calls = pathlib.Path(os.environ["CALLS"])
    with calls.open("a") as file:
        file.write(context.aws_request_id + "\\n")
    if len(calls.read_text().splitlines()) <= event["failures"]:
        raise ValueError("not yet")
"""


class Account:
    """One function, how often it was called, and what was left undelivered."""

    def __init__(self, directory: Path) -> None:
        self.store = Store(directory / "cloud.sqlite")
        context = Context(directory, "123456789012", "us-east-1", self.store, {})
        self.functions = Functions(context, Logs(directory / "logs", context.arn), Permissive())  # type: ignore[arg-type]
        self.file = directory / "calls"
        self.dead: list[tuple[str, str, dict[str, str]]] = []

    @property
    def calls(self) -> list[str]:
        return self.file.read_text().splitlines() if self.file.exists() else []

    def settled(self, calls: int, dead: int) -> None:
        """Wait until there have been this many, and no more come."""
        deadline = time.monotonic() + 120
        while (len(self.calls), len(self.dead)) != (calls, dead):
            assert time.monotonic() < deadline, (self.calls, self.dead)
            time.sleep(0.02)
        time.sleep(0.2)
        assert (len(self.calls), len(self.dead)) == (calls, dead)


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(functions, "RETRY_SECONDS", 0.01)
    made = Account(tmp_path)
    monkeypatch.setattr(functions, "send_dead_letter", lambda _, *letter: made.dead.append(letter))
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", SOURCE)
    with mock_aws():
        session = boto3.Session(region_name="us-east-1")
        role = session.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        session.client("lambda").create_function(
            FunctionName="f",
            Runtime="python3.12",
            Role=role,
            Handler="app.handle",
            Code={"ZipFile": code.getvalue()},
            Timeout=30,
            Environment={"Variables": {"CALLS": str(made.file)}},
        )
        yield made
        made.functions.close()
    made.store.close()


def event(failures: int) -> bytes:
    return json.dumps({"failures": failures}).encode()


def dead_letter_config(queue: str) -> dict[str, Any]:
    return {"DeadLetterConfig": {"TargetArn": queue}}


def test_what_succeeds_in_the_end_is_no_dead_letter(account: Account) -> None:
    account.functions.configure("f", dead_letter_config(QUEUE), created=False)
    account.functions.invoke_later("f", event(2))
    account.settled(calls=3, dead=0)


def test_what_fails_three_times_goes_to_the_functions_queue_with_the_reason(account: Account) -> None:
    account.functions.configure("f", dead_letter_config(QUEUE), created=False)
    account.functions.invoke_later("f", event(9))
    account.settled(calls=3, dead=1)
    [(queue, body, attributes)] = account.dead
    assert (queue, json.loads(body)) == (QUEUE, {"failures": 9})
    # Retries are the same request.
    assert {attributes["RequestID"]} == set(account.calls)
    assert attributes["ErrorCode"] == "200"
    assert "not yet" in attributes["ErrorMessage"]


def test_without_a_queue_the_event_is_gone_after_three_attempts(account: Account) -> None:
    account.functions.configure("f", dead_letter_config(QUEUE), created=False)
    account.functions.configure("f", {"Timeout": 10}, created=False)
    account.functions.configure("f", dead_letter_config(""), created=False)
    account.functions.invoke_later("f", event(9))
    account.settled(calls=3, dead=0)


@pytest.mark.parametrize("begin", ["arn:aws:lambda:us-east-1:123456789012:function:", "123456789012:function:"])
def test_a_queue_that_is_set_by_the_functions_arn_is_its_queue(account: Account, begin: str) -> None:
    account.functions.configure(f"{begin}f", dead_letter_config(QUEUE), created=False)
    account.functions.invoke_later("f", event(9))
    account.settled(calls=3, dead=1)


def test_a_refused_creation_leaves_the_queue_of_the_function_that_is_there(account: Account) -> None:
    account.functions.configure("f", dead_letter_config(QUEUE), created=False)
    account.functions.configure("f", dead_letter_config("arn:other"), created=True)
    account.functions.invoke_later("f", event(9))
    account.settled(calls=3, dead=1)
    assert account.dead[0][0] == QUEUE


def test_a_function_that_is_not_there_is_refused_at_once(account: Account) -> None:
    with pytest.raises(ServiceError, match="Function not found") as error:
        account.functions.invoke_later("none-such", b"{}")
    assert error.value.code == "ResourceNotFoundException"


def test_closing_does_not_wait_for_a_retrys_time(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "RETRY_SECONDS", 60.0)
    account.functions.invoke_later("f", event(9))
    account.settled(calls=1, dead=0)
    began = time.monotonic()
    account.functions.close()
    assert time.monotonic() - began < 30
    assert len(account.calls) == 1


# The members of a function's context: every member that AWS documents for Python, whatever the function is called by.
SHOWING = """
import json
def handle(event, context):
    print("a line")
    client = context.client_context
    return {
        "name": context.function_name,
        "version": context.function_version,
        "arn": context.invoked_function_arn,
        "memory": context.memory_limit_in_mb,
        "request": context.aws_request_id,
        "group": context.log_group_name,
        "stream": context.log_stream_name,
        "left": context.get_remaining_time_in_millis(),
        "identity": context.identity.cognito_identity_id,
        "custom": client.custom if client else None,
        "app": client.client.app_title if client else None,
    }
"""


@pytest.fixture
def showing(account: Account) -> Account:
    """A function `shown` with a version 1 and an alias `live` for it, which returns its context."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", SHOWING)
    client = boto3.Session(region_name="us-east-1").client("lambda")
    client.create_function(
        FunctionName="shown",
        Runtime="python3.12",
        Role="arn:aws:iam::123456789012:role/r",
        Handler="app.handle",
        Code={"ZipFile": code.getvalue()},
        Timeout=60,
        MemorySize=256,
        Publish=True,
    )
    client.create_alias(FunctionName="shown", Name="live", FunctionVersion="1")
    return account


ARN = "arn:aws:lambda:us-east-1:123456789012:function:shown"


@pytest.mark.parametrize(
    ("name", "qualifier", "version", "arn"),
    [
        ("shown", "", "$LATEST", ARN),
        ("shown", "$LATEST", "$LATEST", f"{ARN}:$LATEST"),
        ("shown", "1", "1", f"{ARN}:1"),
        ("shown:live", "", "1", f"{ARN}:live"),
        (f"{ARN}:live", "live", "1", f"{ARN}:live"),
        ("123456789012:function:shown", "1", "1", f"{ARN}:1"),
    ],
)
def test_a_function_is_invoked_by_every_name_and_shown_which_one_it_was(
    showing: Account, name: str, qualifier: str, version: str, arn: str
) -> None:
    client = {"custom": {"who": "me"}, "client": {"app_title": "app"}}
    result = showing.functions.invoke(name, b"{}", "id-1", qualifier=qualifier, client=client)
    shown = json.loads(result.payload)
    assert (result.error, result.version, shown["version"], shown["arn"]) == (None, version, version, arn)
    assert (shown["name"], shown["memory"], shown["request"]) == ("shown", "256", "id-1")
    assert shown["group"] == "/aws/lambda/shown"
    assert shown["stream"] == f"local/[{version}]id-1"
    assert 0 < shown["left"] <= 60_000
    assert (shown["identity"], shown["custom"], shown["app"]) == (None, {"who": "me"}, "app")
    lines = result.log.splitlines()
    assert lines == [f"START RequestId: id-1 Version: {version}", "a line", "END RequestId: id-1"]
    assert result.tail.decode() == result.log


@pytest.mark.parametrize(
    ("name", "qualifier", "code"),
    [
        ("shown", "2", "ResourceNotFoundException"),
        ("shown:dead", "", "ResourceNotFoundException"),
        ("shown:live", "1", "InvalidParameterValueException"),
        ("shown:live:more", "", "InvalidParameterValueException"),
    ],
)
def test_a_version_that_is_not_there_is_not_replaced_by_the_latest_one(
    showing: Account, name: str, qualifier: str, code: str
) -> None:
    for call in (showing.functions.invoke, showing.functions.invoke_later):
        with pytest.raises(ServiceError) as caught:
            call(name, b"{}", qualifier=qualifier)
        assert caught.value.code == code


def test_a_function_without_a_client_has_no_client_context(showing: Account) -> None:
    assert json.loads(showing.functions.invoke("shown", b"null").payload)["custom"] is None
