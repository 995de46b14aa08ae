"""A console in a browser's place, over an account with runs."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from starlette.testclient import TestClient

from pipeline.cli.errors import explained
from pipeline.console.app import application
from pipeline.console.console import Console
from pipeline.console.readings import Readings
from pipeline.settings import Settings
from tests.unit.pipeline.console.pages.account_of_runs import AccountOfRuns
from tests.unit.pipeline.operations.conftest import no_account, settings

__all__ = ["no_account", "settings"]
PORT = 8799


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def account(no_account: None) -> AccountOfRuns:
    account = AccountOfRuns()
    boto3.setup_default_session(region_name="us-east-1")
    for service in ("sagemaker", "logs", "sts"):
        boto3.DEFAULT_SESSION.events.register_first(f"before-send.{service}", account.answer)
    return account


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def console(account: AccountOfRuns, settings: Settings, clock: Clock) -> Console:
    return Console(settings, "python -m pipeline", explained, str, readings=Readings(clock))


@pytest.fixture
def browser(console: Console) -> Iterator[TestClient]:
    with TestClient(application(console, PORT), base_url=f"http://127.0.0.1:{PORT}") as client:
        client.get(f"/?key={console.key}", follow_redirects=False)
        yield client
