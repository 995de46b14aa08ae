"""What tests share: a real S3 server for the session, and a fresh bucket for each test that asks."""

from __future__ import annotations

import functools
import gc
import os
import signal
import sys
import tempfile
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import hypothesis
import pytest

from pipeline.local.machine.objects import ObjectStore
from pipeline.local.machine.ports import free_port

# A developer's own AWS settings must not reach a test, nor a test the developer's account.
FOREIGN = ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN")
NOWHERE = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def pytest_configure() -> None:
    """End as for Ctrl-C when the run is terminated: fixtures stop what they started."""
    # Modules, tests and their parameters stay until the end: the collector would look through millions of objects again
    # and again, a fifth of a collection's time.
    gc.disable()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Threads of PyTorch that wait for each other busily would take the cores from other tests and from ranks.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # How long an example takes says more of the machine than of the code.
    hypothesis.settings.register_profile("untimed", deadline=None)
    hypothesis.settings.load_profile("untimed")
    # A session of boto3's reads the services' models anew, SageMaker's for a third of a second; many tests have one.
    botocore.session.create_loader = functools.cache(botocore.session.create_loader)


# What `make test-long` runs and `make test` leaves out: whole trainings under faults, deployments, whole accounts, and
# other tests of minutes.
LONG = (
    "tests/faults/test_training.py",
    "tests/integration/test_alerts.py",
    "tests/integration/test_bootstrap.py",
    "tests/integration/test_deletion.py",
    "tests/integration/test_deployments.py",
    "tests/integration/test_people.py",
    "tests/integration/test_plan_apart.py",
    "tests/integration/test_schedules.py",
    "tests/integration/test_unchanged_photos.py",
    "tests/integration/test_whole_run.py::test_the_same_model_is_registered_again_where_that_is_asked_for",
    "tests/unit/benchmarks/test_benchmarks.py",
    "tests/unit/steps/train/test_isolation.py",
    "tests/unit/steps/train/test_run.py::test_a_damaged_shard_ends_every_rank_with_its_name",
    "tests/unit/steps/train/test_run.py::test_a_trial_stops_when_its_patience_is_at_an_end",
    "tests/unit/steps/train/test_run.py::test_a_trial_whose_rank_was_killed_goes_on_at_its_step_as_if_nothing_had_happened",
    "tests/unit/steps/train/test_tracking_services.py",
)
# Modules of more than half a minute. Begun last, one of them would run on while the other processes have nothing to do.
FIRST = (
    "tests/clients/",
    "tests/integration/",
    "tests/unit/steps/query/test_run.py",
    "tests/unit/steps/train/test_run.py",
    "tests/unit/steps/train/test_tracking.py",
    *LONG,
)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Mark the long tests before some are chosen; begin with long modules, in the seed's order, as the others are."""
    for item in items:
        if item.nodeid.startswith(LONG):
            item.add_marker(pytest.mark.long)
    yield
    items.sort(key=lambda item: not item.nodeid.startswith(FIRST))


def pytest_collection_finish() -> None:
    """Collect garbage again from here on, of the tests alone."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    gc.enable()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Say the order of the tests: pytest prints no header with -q."""
    _say_seed(session.config)


def pytest_terminal_summary(exitstatus: int, config: pytest.Config) -> None:
    """Say it again below what has failed, which may have failed for the order."""
    if exitstatus:
        _say_seed(config)


def _say_seed(config: pytest.Config) -> None:
    """Print the command that runs the tests in this order; a process of pytest-xdist prints nothing."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    seed = config.getoption("randomly_seed", None)
    if terminal is not None and seed is not None and not hasattr(config, "workerinput"):
        expression = config.getoption("markexpr", "")
        target = {"not long": "make test SEED=", "long": "make test-long SEED="}.get(expression, "--randomly-seed=")
        terminal.write_line(f"in this order again: {target}{seed}")


def pytest_runtest_call(item: pytest.Item) -> None:
    """Take Torch's random numbers from the seed, as pytest-randomly does with those of Python and NumPy."""
    torch, seed = sys.modules.get("torch"), item.config.getoption("randomly_seed", None)
    if torch is not None and seed is not None:
        torch.manual_seed(seed + zlib.crc32(item.nodeid.encode()))


def without(patch: pytest.MonkeyPatch, *names: str) -> None:
    """Take these out of the environment until `patch` is undone; what a command sets in them by then goes with it."""
    for name in names:
        patch.setenv(name, "")
        patch.delenv(name)


@pytest.fixture(scope="session")
def s3() -> Iterator[Any]:
    """A boto3 S3 client of a server that runs as long as the session; `AWS_*` points every client there."""
    with tempfile.TemporaryDirectory(prefix="s3-") as directory, pytest.MonkeyPatch.context() as patch:
        store = ObjectStore(Path(directory), free_port(), "test-access-key", "test-secret-key")
        store.start()
        try:
            without(patch, *FOREIGN)
            for name, value in {**NOWHERE, **store.environment}.items():
                patch.setenv(name, value)
            boto3.setup_default_session()
            yield boto3.client("s3")
        finally:
            store.stop()
            boto3.DEFAULT_SESSION = None


@pytest.fixture
def bucket(s3: Any) -> Iterator[str]:
    """The name of a fresh bucket."""
    name = f"test-{uuid.uuid4().hex[:20]}"
    s3.create_bucket(Bucket=name)
    # A test before may have left a session with credentials of its own.
    boto3.setup_default_session()
    yield name
    # This server deletes a bucket with what is in it.
    s3.delete_bucket(Bucket=name)


def real_photos() -> Path:
    """The folder where the real photos are, or would be."""
    return Path(os.environ.get("ABID_SAMPLE", Path(__file__).parents[2] / "shared" / "data" / "abid"))


@pytest.fixture(scope="session")
def abid() -> Path:
    """The folder with the real photos; a test that needs them is skipped where they are missing."""
    folder = real_photos()
    if not (folder / "originals.tar").exists():
        pytest.skip(f"no real photos at {folder}; set ABID_SAMPLE to the folder with originals.tar")
    return folder
