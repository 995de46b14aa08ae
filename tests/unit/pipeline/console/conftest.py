from __future__ import annotations

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from pipeline.cli.errors import explained
from pipeline.console.app import application
from pipeline.console.console import Console
from pipeline.settings import Settings
from tests.unit.pipeline.operations.conftest import account, no_account, settings

__all__ = ["account", "no_account", "settings"]

PORT = 8780
ORIGIN = f"http://127.0.0.1:{PORT}"


@pytest.fixture
def opened() -> Callable[[Settings], TestClient]:
    """Open the console of settings, as a browser does by the address with the key."""

    def open_console(settings: Settings) -> TestClient:
        console = Console(settings, "python -m pipeline", explained, lambda text: text)
        browser = TestClient(application(console, PORT), base_url=ORIGIN)
        assert browser.get(f"/?key={console.key}", follow_redirects=False).status_code == 303
        browser.headers["x-token-of-this-test"] = console.token
        return browser

    return open_console
