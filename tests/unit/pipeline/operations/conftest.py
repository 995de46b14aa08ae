"""Settings, and a pretended account (moto) for what it can answer."""

from __future__ import annotations

import os
from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from pipeline.images import ROOT
from pipeline.settings import Settings
from pipeline.settings_file import load_settings


@pytest.fixture(scope="session")
def settings() -> Settings:
    return load_settings(ROOT / "pipeline.yaml", "dev")


@pytest.fixture
def no_account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Credentials that are none, and no endpoint of another test's server."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("MOTO_ACCOUNT_ID", "111122223333")
    before, boto3.DEFAULT_SESSION = boto3.DEFAULT_SESSION, None
    yield
    boto3.DEFAULT_SESSION = before


@pytest.fixture
def account(no_account: None) -> Iterator[None]:
    """An account that moto pretends."""
    with mock_aws():
        yield
