"""The shard step's jobs, as its own tests run them, and a client that gives up sooner."""

from functools import partial

import obstore.store
import pytest

from tests.unit.steps.shard.conftest import job

__all__ = ["job"]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two retries instead of ten."""
    store = partial(obstore.store.S3Store, retry_config={"max_retries": 2})
    monkeypatch.setattr(obstore.store, "S3Store", store)
