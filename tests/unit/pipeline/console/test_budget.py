"""How much the pages ask of a large account: of every page, and so of a new one, too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from moto import mock_aws
from starlette.testclient import TestClient

from pipeline import clients
from pipeline.cli.errors import explained
from pipeline.console.app import application
from pipeline.console.console import Console, View
from pipeline.console.pages import ROUTES
from pipeline.console.readings import Readings
from pipeline.settings import Settings
from tests.unit.pipeline.console.large_account import LargeAccount, addresses, looks
from tests.unit.pipeline.console.pages.conftest import PORT, Clock
from tests.unit.pipeline.operations.conftest import no_account as nobody

# Requests to AWS that an idle page makes per minute, and the minutes that are looked at: longer than a reading lasts.
MOST, MINUTES = 10, 16
PATHS = [path for part in ROUTES for path in part.pages]

no_account = nobody


@pytest.fixture
def account(no_account: None, settings: Settings) -> Iterator[LargeAccount]:
    with mock_aws(), clients.shared():
        yield LargeAccount(settings)


def idle(account: LargeAccount, clock: Clock, look: Callable[[], View]) -> list[Counter[str]]:
    """The requests of a page in each minute after its first look."""
    view = look()
    minutes = []
    until = clock.now
    for _ in range(MINUTES if view.refresh else 0):
        account.requests.clear()
        until += 60
        while clock.now + view.refresh <= until:
            clock.now += view.refresh
            view = look()
        minutes.append(account.requests.copy())
    return minutes


def test_an_idle_page_makes_few_requests(account: LargeAccount, settings: Settings) -> None:
    above = {}
    for path in PATHS:
        clock = Clock()
        console = Console(settings, "python -m pipeline", explained, str, readings=Readings(clock))
        minutes = idle(account, clock, dict(looks(console))[path])
        busiest = max(minutes, key=lambda minute: minute.total(), default=Counter())
        if busiest.total() > MOST:
            above[path] = busiest
    assert above == {}


def test_every_address_is_answered(account: LargeAccount, settings: Settings) -> None:
    console = Console(settings, "python -m pipeline", explained, str)
    with TestClient(application(console, PORT), base_url=f"http://127.0.0.1:{PORT}") as browser:
        browser.get(f"/?key={console.key}", follow_redirects=False)
        answers = {address: browser.get(address) for _, address in addresses()}
    # No run of this account explored its data.
    assert {address.rpartition("/")[2] for address, answer in answers.items() if answer.is_error} == {"exploration"}
