"""Trackers: what they are told, and that nothing they do or fail to do is felt by the training."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from steps.common.errors import StepError
from steps.train import tracking, tracking_client, tracking_services
from steps.train.history import History
from steps.train.recipe import Recipe, parse
from steps.train.run import run

from ....conftest import free_port
from .test_checkpoint import record

# Two epochs of the smallest trial; the data set is conftest's.
FLAGS = (
    *("--architecture", "resnet18", "--image-size", "32", "--epochs", "2", "--batch-size", "8"),
    *("--learning-rate", "0.002", "--workers", "0", "--patience", "0"),
)
SECRET = "0123456789-not-to-be-seen"


def recipe(**options: str) -> Recipe:
    return Recipe(**{"tracker": "mlflow", "tracking_experiment": "bins", **options})


def history(*accuracies: float) -> History:
    return History(
        epochs=[
            record(epoch).model_copy(update={"validation_accuracy": accuracy, "gradient_norm": 2.5})
            for epoch, accuracy in enumerate(accuracies, 1)
        ]
    )


def opened(options: Recipe) -> tracking.Tracker:
    return tracking.open_tracker(options, leads=True, dataset_sha256="abc", processes=2)


def tracked(options: Recipe, *accuracies: float) -> float:
    """Track epochs of these accuracies; gives the seconds that the block was held up by it."""
    begin = time.monotonic()
    with opened(options) as tracker:
        for epochs in range(1, len(accuracies) + 1):
            tracker.epoch(history(*accuracies[:epochs]))
    return time.monotonic() - begin


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelname == "WARNING" and one.name.startswith("steps.")]


@pytest.fixture(autouse=True)
def job(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The name of the training job."""
    name = f"job-{abs(hash(request.node.name)) % 10**8}"
    monkeypatch.setenv("TRAINING_JOB_NAME", name)
    monkeypatch.setenv("TRAINING_JOB_ARN", f"arn:aws:sagemaker:us-east-1:111122223333:training-job/{name}")
    return name


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for all to be sent, however busy the machine is."""
    monkeypatch.setattr(tracking, "FINISH_SECONDS", 90.0)


@pytest.fixture
def trial(base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
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


# ------------------------------------------------------------------------------------------------ MLflow


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
            deadline = time.monotonic() + 120
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


def runs_of(server: str, job: str):
    from mlflow import MlflowClient

    client = MlflowClient(server)
    experiment = client.get_experiment_by_name("bins")
    assert experiment is not None
    return client, client.search_runs([experiment.experiment_id], f"tags.training_job = '{job}'")


@pytest.mark.usefixtures("patient")
def test_a_trial_is_found_on_the_server_with_all_its_figures(server, trial, job, caplog):
    flags = ["--tracker", "mlflow", "--tracking-server", server, "--tracking-experiment", "bins"]
    run(parse([*FLAGS, *flags]))
    kept = History.model_validate_json((trial / "model" / "history.json").read_text())
    client, (found,) = runs_of(server, job)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == job
    assert found.data.params["learning_rate"] == "0.002"
    assert found.data.params["architecture"] == "resnet18"
    assert found.data.tags["processes"] == "1"
    assert len(found.data.tags["dataset_sha256"]) == 64
    assert found.data.tags["training_job_arn"].endswith(job)
    losses = client.get_metric_history(found.info.run_id, "train_loss")
    assert [(one.step, one.value) for one in losses] == [(one.epoch, one.train_loss) for one in kept.epochs]
    assert found.data.metrics["best/validation_accuracy"] == kept.best.validation_accuracy
    assert found.data.metrics["best/epoch"] == kept.best.epoch
    assert found.data.metrics["per_class/2"] == kept.epochs[-1].per_class[2]
    assert warnings(caplog) == []


@pytest.mark.usefixtures("patient")
def test_a_job_that_was_stopped_and_goes_on_continues_its_run(server, job, caplog):
    def stop() -> None:
        with opened(recipe(tracking_server=server)) as tracker:
            tracker.epoch(history(0.4))
            sys.exit(143)

    with pytest.raises(SystemExit):
        stop()
    assert [found.info.status for found in runs_of(server, job)[1]] == ["KILLED"]
    with opened(recipe(tracking_server=server)) as tracker:
        tracker.epoch(history(0.4, 0.3))
    client, (found,) = runs_of(server, job)
    assert found.info.status == "FINISHED"
    steps = [one.step for one in client.get_metric_history(found.info.run_id, "validation_accuracy")]
    assert steps == [1, 2]
    assert found.data.metrics["best/validation_accuracy"] == 0.4
    assert found.data.metrics["gradient_norm"] == 2.5
    assert "gpu_utilisation" not in found.data.metrics
    assert warnings(caplog) == []


@pytest.mark.usefixtures("patient")
def test_a_training_that_fails_is_a_failed_run_and_keeps_its_error(server, trial, job):
    flags = ["--tracker", "mlflow", "--tracking-server", server, "--tracking-experiment", "bins"]
    with pytest.raises(StepError, match="loss is not a finite number"):
        run(parse([*FLAGS, *flags, "--optimizer", "sgd", "--learning-rate", "1e30"]))
    assert [found.info.status for found in runs_of(server, job)[1]] == ["FAILED"]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("resource", ["mlflow-tracking-server/team", "mlflow-app/app-123"])
def test_a_server_is_reached_by_its_arn_too(server, job, resource, monkeypatch, caplog):
    """The plug-in signs the requests; here they go to a server that does not look at the signature."""
    monkeypatch.setenv("SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT", server)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    tracked(recipe(tracking_server=f"arn:aws:sagemaker:us-east-1:111122223333:{resource}"), 0.5)
    assert warnings(caplog) == []
    assert [found.info.status for found in runs_of(server, job)[1]] == ["FINISHED"]


# ------------------------------------------------------------------------------------------------ faults


@pytest.fixture
def closed_port() -> str:
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture
def silent_port() -> Iterator[str]:
    """Accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("port", ["closed_port", "silent_port"])
def test_a_trial_whose_tracking_server_is_away_trains_to_its_end_with_one_warning(port, trial, caplog, request):
    caplog.set_level("INFO")
    server = request.getfixturevalue(port)
    begin = time.monotonic()
    run(parse([*FLAGS, "--tracker", "mlflow", "--tracking-server", server, "--tracking-experiment", "bins"]))
    taken = time.monotonic() - begin
    (line,) = warnings(caplog)
    assert line.startswith("tracker mlflow is off: ")
    assert line.endswith("; the training goes on without it")
    kept = History.model_validate_json((trial / "model" / "history.json").read_text())
    assert len(kept.epochs) == 2
    # The training itself, the model's export with it, takes the rest; the tracker's part is bounded.
    assert taken < sum(epoch.seconds for epoch in kept.epochs) + tracking.FINISH_SECONDS + 60


def test_epochs_are_handed_over_at_once_and_the_end_waits_no_longer_than_it_says(silent_port, monkeypatch, caplog):
    monkeypatch.setattr(tracking, "FINISH_SECONDS", 1.0)
    begin = time.monotonic()
    with opened(recipe(tracking_server=silent_port)) as tracker:
        for _ in range(50):
            tracker.epoch(history(0.5))
        handed_over = time.monotonic() - begin
    ended = time.monotonic() - begin
    assert handed_over < 0.5
    assert ended < 3
    assert warnings(caplog) == [
        "tracker mlflow is off: it did not take the last figures within 1 seconds; the training goes on without it"
    ]


def test_a_tracker_that_hangs_in_mid_training_is_off_long_before_its_queue_is_full(stand_in, monkeypatch, caplog):
    stand_in("mlflow", "import time\ntime.sleep(600)")
    monkeypatch.setattr(tracking_client, "BEGIN_SECONDS", 1.0)
    with opened(recipe(tracking_server="http://127.0.0.1:1")) as tracker:
        deadline = time.monotonic() + 30
        while not warnings(caplog) and time.monotonic() < deadline:
            time.sleep(0.05)
        begin = time.monotonic()
        for _ in range(500):
            tracker.epoch(history(0.5))
    assert time.monotonic() - begin < 1
    assert warnings(caplog) == [
        "tracker mlflow is off: it did not answer within 1 seconds; the training goes on without it"
    ]


def test_a_tracker_that_is_too_far_behind_is_off(stand_in, monkeypatch, caplog):
    stand_in("mlflow", "import time\ntime.sleep(600)")
    monkeypatch.setattr(tracking, "QUEUE_LENGTH", 3)
    assert tracked(recipe(tracking_server="http://127.0.0.1:1"), *[0.5] * 10) < 5
    assert warnings(caplog) == ["tracker mlflow is off: it is 3 epochs behind; the training goes on without it"]


def test_a_tracking_process_that_dies_is_one_warning(stand_in, patient, caplog):
    stand_in("mlflow", "import os\nos._exit(3)")
    tracked(recipe(tracking_server="http://127.0.0.1:1"), 0.5, 0.6)
    assert warnings(caplog) == ["tracker mlflow is off: its process ended; the training goes on without it"]


@pytest.mark.parametrize("package", ["mlflow", "wandb"])
def test_a_package_that_is_not_installed_is_one_warning_that_names_it(package, stand_in, patient, caplog):
    stand_in(package, f"raise ModuleNotFoundError(\"No module named '{package}'\")")
    tracked(recipe(tracker=package, tracking_server="http://127.0.0.1:1"), 0.5, 0.6)
    (line,) = warnings(caplog)
    assert f"No module named '{package}'" in line


def test_nothing_is_left_of_a_tracker_that_was_given_up(stand_in, tmp_path, monkeypatch):
    """Neither the process nor what its library started."""
    pids = tmp_path / "pids"
    source = f"""
        import os, pathlib, subprocess, time
        child = subprocess.Popen(["sleep", "600"])
        pathlib.Path({str(pids)!r}).write_text(f"{{os.getpid()}} {{child.pid}}")
        time.sleep(600)
    """
    stand_in("mlflow", "\n".join(line.strip() for line in source.splitlines()))
    monkeypatch.setattr(tracking, "FINISH_SECONDS", 0.1)
    with opened(recipe(tracking_server="http://127.0.0.1:1")):
        deadline = time.monotonic() + 30
        while not (pids.exists() and len(pids.read_text().split()) == 2):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    deadline = time.monotonic() + 5
    while (left := [pid for pid in pids.read_text().split() if runs(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def runs(pid: str) -> bool:
    """Whether the process is there, and more than an entry that nobody has collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(("leads", "kind"), [(False, "mlflow"), (True, "none")])
def test_other_ranks_and_trainings_without_a_tracker_start_nothing(leads, kind, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    with tracking.open_tracker(recipe(tracker=kind), leads=leads, dataset_sha256="", processes=1) as tracker:
        tracker.epoch(history(0.5))
    assert isinstance(tracker, tracking.NoTracker)


def test_an_arn_without_its_plug_in_is_said_with_the_remedy(monkeypatch):
    monkeypatch.setattr(tracking_services.importlib.util, "find_spec", lambda name: None)
    service = tracking_services.Service("mlflow", "arn:aws:sagemaker:us-east-1:1:mlflow-tracking-server/x", "bins")
    with pytest.raises(ModuleNotFoundError, match="install it in the training image"):
        tracking_services.begin(service, tracking_services.Run("", {}, {}), lambda secret: None)


# ------------------------------------------------------------------------------------------------ the secret


@pytest.fixture(scope="module")
def vault() -> Iterator[str]:
    """The address of a server that answers as Secrets Manager."""
    from moto.server import ThreadedMotoServer

    port = free_port()
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture
def secrets(vault: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Secrets Manager with an API key in it, plain and as the console stores it, and a secret without one."""
    for name, value in {
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": vault,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    boto3.DEFAULT_SESSION = None
    client = boto3.client("secretsmanager")
    for name, text in {"plain": SECRET, "json": json.dumps({"WANDB_API_KEY": SECRET}), "empty": "{}"}.items():
        client.create_secret(Name=name, SecretString=text)
    yield
    for name in ("plain", "json", "empty"):
        client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    boto3.DEFAULT_SESSION = None


@pytest.mark.usefixtures("secrets")
def test_an_api_key_is_read_by_name_and_by_arn_plain_and_as_the_console_stores_it():
    assert tracking_services.api_key("plain") == SECRET
    arn = boto3.client("secretsmanager").describe_secret(SecretId="json")["ARN"]
    assert tracking_services.api_key(arn) == SECRET
    with pytest.raises(ValueError, match="the secret empty holds no API key; store it as"):
        tracking_services.api_key("empty")


@pytest.mark.usefixtures("secrets", "patient")
def test_an_api_key_reaches_the_client_alone_and_never_the_log(stand_in, caplog):
    caplog.set_level("DEBUG")
    stand_in("wandb", "import os\nraise ValueError('refused the key ' + os.environ['WANDB_API_KEY'])")
    tracked(recipe(tracker="wandb", tracking_secret="plain"), 0.5)
    assert warnings(caplog) == [
        "tracker wandb is off: ValueError: refused the key ***; the training goes on without it"
    ]
    assert SECRET not in caplog.text
    assert SECRET not in os.environ.values()


@pytest.mark.usefixtures("secrets", "patient")
def test_a_secret_that_is_not_there_is_one_warning(caplog):
    tracked(recipe(tracker="wandb", tracking_secret="absent"), 0.5)
    (line,) = warnings(caplog)
    assert "ResourceNotFoundException" in line


# ------------------------------------------------------------------------------------------------ Weights & Biases


@pytest.mark.usefixtures("patient")
def test_weights_and_biases_gets_configuration_epochs_and_summary(tmp_path, monkeypatch, caplog, job):
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    tracked(recipe(tracker="wandb", tracking_experiment="team/bins"), 0.3, 0.5, 0.4)
    assert warnings(caplog) == []
    entries = logged_offline(tmp_path, job)
    run = next(entry["run"] for entry in entries if "run" in entry)
    assert (run["entity"], run["project"], run["run_id"]) == ("team", "bins", job)
    config = {one["key"]: json.loads(one["value_json"]) for one in run["config"]["update"]}
    assert config["learning_rate"] == "0.001"
    assert config["dataset_sha256"] == "abc"
    rows = [
        {"/".join(one.get("nested_key", [one.get("key", "")])): json.loads(one["value_json"]) for one in items}
        for items in (entry["history"]["item"] for entry in entries if "history" in entry)
    ]
    assert [(row["_step"], row["validation_accuracy"]) for row in rows] == [(1, 0.3), (2, 0.5), (3, 0.4)]
    assert rows[0]["per_class/3"] == 0.1
    summary = {
        one.get("key") or "/".join(one["nested_key"]): json.loads(one["value_json"])
        for entry in entries
        if "summary" in entry
        for one in entry["summary"].get("update", [])
    }
    assert summary["best/validation_accuracy"] == 0.5
    assert summary["status"] == "finished"


def logged_offline(folder: Path, job: str) -> list[dict[str, dict]]:
    """What wandb wrote for a later `wandb sync`."""
    from google.protobuf.json_format import MessageToDict
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = folder.glob(f"wandb/offline-run-*-{job}/run-{job}.wandb")
    messages = log_records(path.read_bytes())
    return [MessageToDict(Record.FromString(message), preserving_proto_field_name=True) for message in messages]


def log_records(content: bytes) -> Iterator[bytes]:
    """The records of a log in LevelDB's format (https://github.com/google/leveldb/blob/main/doc/log_format.md).

    Blocks of 32 KiB; in a block chunks of checksum (4 bytes), length (2), type (1: whole, 2 to 4: first, middle, last)
    and data; the file's own header takes the first 7 bytes.
    """
    position, parts = 7, b""
    while position + 7 <= len(content):
        if 32768 - position % 32768 < 7:
            position += 32768 - position % 32768
            continue
        length, kind = struct.unpack_from("<HB", content, position + 4)
        parts += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):
            yield parts
            parts = b""


@pytest.mark.parametrize("port", ["closed_port", "silent_port"])
def test_weights_and_biases_away_is_one_warning_and_a_bounded_wait(port, request, monkeypatch, caplog):
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_BASE_URL", request.getfixturevalue(port))
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr(tracking, "FINISH_SECONDS", 5.0)
    assert tracked(recipe(tracker="wandb"), 0.5, 0.6) < 8
    assert len(warnings(caplog)) == 1
