"""A job of two instances with two processes each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from steps.common.artifact import read_description
from steps.train.artifact import is_whole

from .definition import settings_of, training_job
from .jobs import JOB, Job, create

# A network that takes a step in milliseconds, and enough steps that an epoch can be interrupted in its midst.
RECIPE = {"image_size": 32, "epochs": 3, "batch_size": 2, "checkpoint_minutes": 0.005, "instance_count": 2}


@pytest.fixture(scope="module")
def request_() -> dict[str, Any]:
    return training_job(settings_of("demo", **RECIPE))


@pytest.fixture(scope="module")
def finished(dataset: Path, request_: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job that ran to its end."""
    return create(tmp_path_factory.mktemp("finished"), request_, dataset).run()


def test_four_processes_on_two_hosts_train_to_the_end(finished: Job) -> None:
    assert [host.status for host in finished.hosts] == [0, 0], finished.log
    assert "4 processes on cpu" in finished.hosts[0].log
    assert [host.failure for host in finished.hosts] == ["", ""]


def test_the_first_host_leaves_a_whole_model_and_the_other_nothing(finished: Job) -> None:
    first, second = (host.opt_ml / "model" for host in finished.hosts)
    assert is_whole(first)
    assert list(second.iterdir()) == []


def test_sigterm(dataset: Path, request_: dict[str, Any], finished: Job, tmp_path: Path) -> None:
    import time
    job = create(tmp_path, request_, dataset)
    with job.running():
        deadline = time.monotonic() + 100
        while not any(p.name > "epoch-0001-step-000001" for p in job.checkpoints):
            assert time.monotonic() < deadline, job.log
            time.sleep(0.02)
        began = time.monotonic()
        print([p.name for p in job.checkpoints])
        job.interrupt()
        print([h.status for h in job.hosts], time.monotonic() - began)
        print([p.name for p in job.checkpoints])
        print([h.failure for h in job.hosts])
        print(job.hosts[0].log[-3000:])
        print("-----")
        print(job.hosts[1].log[-3000:])
    assert 0
