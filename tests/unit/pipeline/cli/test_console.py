"""The command `console`: what it prints, whose account it shows, and how it ends."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from pipeline.console import serving
from pipeline.console.console import Console
from tests.unit.pipeline.conftest import SETTINGS, Call

pytestmark = pytest.mark.usefixtures("account")


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were served, each until Ctrl-C."""
    addresses: list[str] = []

    def serve(console: Console, listening: socket.socket) -> None:
        with listening:
            addresses.append(serving.address(console, listening.getsockname()[1]))
        raise KeyboardInterrupt

    monkeypatch.setattr(serving, "serve", serve)
    return addresses


def test_its_address_is_printed_and_ctrl_c_ends_it_without_an_error(call: Call, served: list[str]) -> None:
    outcome = call("console")
    assert (outcome.code, outcome.error) == (0, "")
    assert outcome.out.splitlines() == [f"console: {served[0]}", "to end it: Ctrl-C"]


def test_another_account_than_the_profiles_is_not_shown_under_its_name(
    call: Call, project: Path, served: list[str]
) -> None:
    (project / "pipeline.yaml").write_text(SETTINGS.replace("123456789012", "210987654321"))
    outcome = call("console")
    assert outcome.code == 1
    assert "the credentials are of account 123456789012, the settings name 210987654321" in outcome.error
    assert served == []
