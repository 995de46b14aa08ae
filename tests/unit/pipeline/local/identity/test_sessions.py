"""Credentials of a role: who may use them, and until when."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.local.identity import sessions
from pipeline.local.identity.sessions import ExpiredTokenError, InvalidTokenError, Sessions

ROLE = "arn:aws:iam::123456789012:role/bins-job"


def test_a_session_is_read_from_its_token(tmp_path: Path) -> None:
    credentials = Sessions(tmp_path).issue(ROLE, "job-7", 900, '{"Statement": []}')
    session = Sessions(tmp_path).verify(credentials.access_key, credentials.token)
    assert session == credentials.session
    assert session.arn == "arn:aws:sts::123456789012:assumed-role/bins-job/job-7"
    assert session.policy == '{"Statement": []}'
    assert Sessions(tmp_path).secret_key(session) == credentials.secret_key


def test_a_token_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    issuer = Sessions(tmp_path)
    credentials = issuer.issue(ROLE, "job", 20)
    monkeypatch.setattr(time, "time", lambda: credentials.session.expires)
    with pytest.raises(ExpiredTokenError):
        issuer.verify(credentials.access_key, credentials.token)


@pytest.mark.parametrize("damage", [lambda token: token[:-2], lambda token: f"x{token}", lambda _: "a.b", lambda _: ""])
def test_a_changed_token_is_refused(tmp_path: Path, damage: Callable[[str], str]) -> None:
    issuer = Sessions(tmp_path)
    credentials = issuer.issue(ROLE, "job", 900)
    with pytest.raises(InvalidTokenError):
        issuer.verify(credentials.access_key, damage(credentials.token))


def test_a_token_belongs_to_its_key_and_its_cloud(tmp_path: Path) -> None:
    issuer = Sessions(tmp_path / "a")
    credentials, other = issuer.issue(ROLE, "job", 900), issuer.issue(ROLE, "job", 900)
    with pytest.raises(InvalidTokenError):
        issuer.verify(other.access_key, credentials.token)
    with pytest.raises(InvalidTokenError):
        Sessions(tmp_path / "b").verify(credentials.access_key, credentials.token)


def test_the_key_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    Sessions(tmp_path)
    assert stat.S_IMODE((tmp_path / sessions.KEY_FILE).stat().st_mode) == 0o600
