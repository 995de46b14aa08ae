"""A tracker as tests drive it, and what it meets: a real MLflow server, ports that do not answer, other modules."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from steps.train import tracking
from steps.train.history import History
from steps.train.recipe import Recipe
from tests.unit.steps import arguments

from ....conftest import free_port
from .test_checkpoint import record

# Two epochs of the smallest trial; the data set is conftest's.
FLAGS = (
    *("--architecture", "squeezenet1_1", "--image-size", "32", "--epochs", "2", "--batch-size", "8"),
    *("--learning-rate", "0.002", "--workers", "0", "--patience", "0"),
)


def recipe(*flags: str, **options: str) -> Recipe:
    return arguments.recipe(*flags, **{"tracker": "mlflow", "tracking_experiment": "bins", **options})


def history(*accuracies: float) -> History:
    return History(
        epochs=[
            record(epoch).model_copy(update={"validation_accuracy": accuracy, "gradient_norm": 2.5})
            for epoch, accuracy in enumerate(accuracies, 1)
        ]
    )


def opened(options: Recipe) -> tracking.Tracker:
    return tracking.open_tracker(options, is_leader=True, dataset_sha256="abc", processes=2)


def tracked(options: Recipe, *accuracies: float) -> float:
    """Track epochs of these accuracies; gives the seconds that the block was held up by it."""
    begin = time.monotonic()
    with opened(options) as tracker:
        for epochs in range(1, len(accuracies) + 1):
            tracker.epoch(history(*accuracies[:epochs]))
    return time.monotonic() - begin


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was warned of trackers; a trial of so few photos may well be warned of its loss."""
    return [
        one.getMessage()
        for one in caplog.records
        if one.levelname == "WARNING" and one.name.startswith("steps.train.tracking")
    ]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow tracking server."""
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/runs.db", "--artifacts-destination", str(folder)]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
        )
        try:
            deadline = time.monotonic() + 300
            while not answers(f"{url}/health"):
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.2)
            yield url
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


@pytest.fixture
def closed_port() -> str:
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture
def silent_port() -> Iterator[str]:
    """Accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the training job."""
    name = f"job-{uuid.uuid4().hex[:10]}"
    monkeypatch.setenv("TRAINING_JOB_NAME", name)
    monkeypatch.setenv("TRAINING_JOB_ARN", f"arn:aws:sagemaker:us-east-1:111122223333:training-job/{name}")
    return name


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for all to be sent, however busy the machine is."""
    monkeypatch.setattr(tracking, "FINISH_SECONDS", 90.0)


@pytest.fixture
def trial(base: Path, traced_once: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The /opt/ml of a trial in this process."""
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(base))
    # Threads of one operation wait for each other busily; with other processes on the machine that takes forever.
    monkeypatch.setenv("SM_NUM_CPUS", "1")
    return base


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a module of this name and source before the installed one in the tracking process."""

    def install(name: str, source: str) -> None:
        folder = tmp_path / "stand-ins"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(source)
        monkeypatch.setenv("PYTHONPATH", str(folder))

    return install
