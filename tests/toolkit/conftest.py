"""Tests under AWS's own training toolkit: `make test-toolkit`. Elsewhere there is nothing here to collect."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if importlib.util.find_spec("sagemaker_training") is None:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="package")
def dataset(s3: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the index of a data set in S3, for four processes."""
    from ..unit.steps.train.photos import store_dataset

    name = f"toolkit-{os.getpid()}"
    s3.create_bucket(Bucket=name)
    folder = tmp_path_factory.mktemp("dataset")
    store_dataset(s3, name, folder, train=320, validation=24, shards=4)
    return folder


@pytest.fixture(scope="package", autouse=True)
def master_port() -> Iterator[None]:
    """The toolkit's port for rank 0 is fixed: one run of these tests at a time on a machine."""
    from .jobs import hold_master_port

    with hold_master_port():
        yield
