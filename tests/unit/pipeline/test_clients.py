"""Clients are created per call, or once while they are shared."""

from __future__ import annotations

import pytest

from pipeline import clients
from pipeline.settings import Settings
from tests.unit.pipeline.operations.conftest import account, no_account, settings

__all__ = ["account", "no_account", "settings"]


@pytest.mark.usefixtures("account")
def test_clients_of_the_same_arguments_are_one_while_they_are_shared(settings: Settings) -> None:
    before = clients.client(settings, "sagemaker")
    assert clients.client(settings, "sagemaker") is not before
    with clients.shared():
        shared = clients.client(settings, "sagemaker")
        assert clients.client(settings, "sagemaker") is shared
        assert clients.client(settings, "s3") is not shared
        assert clients.probing_client(settings, "sagemaker") is not shared
    assert clients.client(settings, "sagemaker") is not shared
