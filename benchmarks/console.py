"""Pages of the console over a large account that moto pretends: 1,000 runs, 200 versions, 50 trials, 30 windows."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from moto import mock_aws
from starlette.testclient import TestClient

from benchmarks.cases import Bound, Case, say
from benchmarks.options import Options
from pipeline import ROOT, clients
from pipeline.cli.errors import explained
from pipeline.console.app import application
from pipeline.console.console import Console
from pipeline.settings import Settings
from pipeline.settings.file import load_settings
from tests.unit.pipeline.console.large_account import PROFILE, LargeAccount, addresses

UNIT = "ms"
LIMIT = 300.0
PORT = 8799


def cases(options: Options) -> Iterator[Case]:
    """Milliseconds of each address, in a console that has read nothing yet, and in one that has."""
    settings = load_settings(ROOT / "pipeline.yaml", PROFILE)
    with _nobody(settings), mock_aws(), clients.shared():
        say("filling the account")
        account = LargeAccount(settings)
        console = Console(settings, "python -m pipeline", explained, str)
        with TestClient(application(console, PORT), base_url=f"http://127.0.0.1:{PORT}") as browser:
            browser.get(f"/?key={console.key}", follow_redirects=False)
            for path, address in addresses():
                # Its template is read, and its clients are created, once per console.
                _milliseconds(browser, address)
                first, again = [], []
                for _ in range(options.rounds):
                    console.readings.forget()
                    account.requests.clear()
                    first.append(_milliseconds(browser, address))
                    requests = account.requests.total()
                    again.append(_milliseconds(browser, address))
                say(f"{path}: {requests} requests at first")
                bounds = (Bound("of_limit", "at most", 1.0),)
                for name, figures in (("first", first), ("again", again)):
                    yield Case(f"console {path}, {name}", UNIT, statistics.median(figures), limit=LIMIT, bounds=bounds)


@contextmanager
def _nobody(settings: Settings) -> Iterator[None]:
    """Credentials that are none, and no other endpoint than moto's."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    nobody = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "MOTO_ACCOUNT_ID": settings.account.id,
    }
    with mock.patch.dict(os.environ, others | nobody, clear=True):
        yield


def _milliseconds(browser: TestClient, address: str) -> float:
    started = time.perf_counter()
    answer = browser.get(address)
    answer.raise_for_status()
    return (time.perf_counter() - started) * 1000
