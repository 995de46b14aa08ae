"""An account that moto pretends, bootstrapped as the local one is, and a check of it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from pipeline.account import deploy_function as serving
from pipeline.operations.preflight import Result
from pipeline.operations.preflight.checks import run
from pipeline.operations.preflight.findings import Account
from pipeline.settings import Settings
from tests.answers import Answers

CALLER = "arn:aws:iam::111122223333:user/somebody"
REGION = "us-east-1"
Look = Callable[..., list[tuple[str, str]]]


@pytest.fixture(autouse=True)
def _pretended(account: None) -> None:
    """Nothing here speaks to anybody."""


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def look(settings: Settings) -> Look:
    """Run one check by its name; gives (status, detail) of what it finds."""

    def run_one(name: str, chosen: Settings = settings) -> list[tuple[str, str]]:
        results: list[Result] = run(name, Account(chosen, CALLER))
        assert {result.check for result in results} <= {name}
        return [(result.status, result.detail) for result in results]

    return run_one


def client(service: str) -> Any:
    return boto3.client(service, region_name=REGION)


def changed(settings: Settings, group: str, **values: Any) -> Settings:
    """The settings with another value or two in one group."""
    return settings.model_copy(update={group: getattr(settings, group).model_copy(update=values)})


def make_role(name: str, service: str, path: str = "/") -> None:
    trust = {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": service}}]}
    client("iam").create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=json.dumps(trust))


def make_function(settings: Settings, **environment: str) -> None:
    make_role(settings.role_name("deploy"), "lambda.amazonaws.com")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("handler.py", "")
    client("lambda").create_function(
        FunctionName=settings.deploy_function,
        Runtime="python3.12",
        Role=settings.role_arn("deploy"),
        Handler="handler.handle",
        Code={"ZipFile": buffer.getvalue()},
        Environment={"Variables": serving.function_environment(settings) | environment},
    )
