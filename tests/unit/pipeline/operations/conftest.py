"""Settings, and a pretended account (moto) for what it can answer."""

from __future__ import annotations

import os
from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from pipeline import ROOT
from pipeline.settings import Settings
from pipeline.settings.file import load_settings
from tests.conftest import without

KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.fixture(scope="session")
def settings() -> Settings:
    return load_settings(ROOT / "pipeline.yaml", "dev")


@pytest.fixture(scope="session")
def secure(settings: Settings) -> Settings:
    """The same in a VPC, with a key of one's own."""
    values = settings.model_dump()
    values["network"] |= {"subnets": ["subnet-01234567"], "security_groups": ["sg-01234567"], "encrypt_traffic": True}
    values["encryption"] |= {"kms_key": KEY}
    return Settings.model_validate(values)


@pytest.fixture
def no_account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Credentials that are none, and no endpoint of another test's server."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    without(monkeypatch, "AWS_REGION", "AWS_DEFAULT_REGION")
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
