"""What MLflow and Weights & Biases are told, read back from them."""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from steps.contracts.errors import StepError
from steps.train import tracking, tracking_services
from steps.train.history import History
from steps.train.run import run

from ....conftest import free_port
from .photos import launch
from .trackers import FLAGS, history, opened, recipe, tracked, warnings

SECRET = "0123456789-not-to-be-seen"

pytestmark = pytest.mark.usefixtures("job")

# ------------------------------------------------------------------------------------------------ MLflow


def runs_of(server: str, job: str):
    from mlflow import MlflowClient

    client = MlflowClient(server)
    experiment = client.get_experiment_by_name("bins")
    found = client.search_runs([experiment.experiment_id], f"tags.training_job = '{job}'") if experiment else []
    return client, found


@pytest.mark.usefixtures("patient")
def test_a_trial_is_found_on_the_server_with_all_its_figures(server, trial, job, caplog):
    flags = ["--tracker", "mlflow", "--tracking-server", server, "--tracking-experiment", "bins"]
    run(recipe(*FLAGS, *flags))
    kept = History.model_validate_json((trial / "model" / "history.json").read_text())
    client, (found,) = runs_of(server, job)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == job
    assert found.data.params["learning_rate"] == "0.002"
    assert found.data.params["architecture"] == "squeezenet1_1"
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


def test_two_ranks_that_are_stopped_by_sigterm_are_one_run_that_was_stopped(server, base):
    # More than a test lasts: it is stopped as soon as the server knows of it.
    flags = ("--tracker", "mlflow", "--tracking-server", server, "--tracking-experiment", "bins", "--epochs", "1000")
    process = launch(base, free_port(), *FLAGS, *flags)
    deadline = time.monotonic() + 300
    # The launcher names the job.
    while not [run for run in runs_of(server, "job-1")[1] if run.data.metrics]:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    log, _ = process.communicate(timeout=300)
    assert "SIGTERM: saved epoch" in log
    assert "tracker mlflow is off" not in log
    (found,) = runs_of(server, "job-1")[1]
    assert found.info.status == "KILLED"
    assert found.data.tags["processes"] == "2"


@pytest.mark.usefixtures("patient")
def test_a_training_that_fails_is_a_failed_run_and_keeps_its_error(server, trial, job):
    flags = ["--tracker", "mlflow", "--tracking-server", server, "--tracking-experiment", "bins"]
    with pytest.raises(StepError, match="loss is not a finite number"):
        run(recipe(*FLAGS, *flags, "--optimizer", "sgd", "--learning-rate", "1e30"))
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
    with pytest.raises(ValueError, match="the secret empty contains no API key; store it as"):
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
    assert tracked(recipe(tracker="wandb"), 0.5, 0.6) < 30
    assert len(warnings(caplog)) == 1
