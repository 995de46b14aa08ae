"""Whole trials, started as the container starts them."""

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

import steps.train.run
from steps.contracts import imagenet_weights
from steps.contracts.artifact import read_description
from steps.contracts.dataset import read_index
from steps.contracts.errors import StepError
from steps.contracts.imagenet_files import PublishedFile
from steps.model.calibration import calibrate
from steps.model.network import build_network
from steps.train import checkpoint
from steps.train.artifact import check_complete
from steps.train.run import run
from tests.unit.steps.arguments import recipe

from ....conftest import free_port
from .photos import CLASSES, launch, photos, store_dataset

FLAGS = (
    *("--architecture", "resnet18", "--image-size", "32", "--epochs", "3", "--batch-size", "8"),
    *("--learning-rate", "0.002", "--workers", "1", "--patience", "0"),
    *("--accumulation", "2", "--ema-decay", "0.9", "--clip-norm", "5", "--ordinal-weight", "0.1"),
    # The first of three epochs.
    *("--progressive-resizing", "0.5", "--random-affine", "true", "--mirrored-answers", "true"),
)
CHECKPOINT_EACH_STEP = ("--checkpoint-minutes", "0.000001")
TIME_LIMIT = 480
# Of the 21 validation photos.
CALIBRATION = [f"{number:05d}" for number in range(10_000, 10_021) if number % 4]


@dataclass(frozen=True)
class Job:
    """A job that has ended."""

    base: Path
    status: int
    log: str

    @property
    def epochs(self) -> list[dict[str, float]]:
        return json.loads((self.base / "model" / "history.json").read_text())["epochs"]

    @property
    def failure(self) -> str:
        return (self.base / "output" / "failure").read_text()


def finish(process: subprocess.Popen[str], base: Path) -> Job:
    log, _ = process.communicate(timeout=TIME_LIMIT)
    return Job(base, process.returncode, log)


def train(base: Path, *flags: str, processes: int = 2) -> Job:
    return finish(launch(base, free_port(), *FLAGS, *flags, processes=processes), base)


def without_times(epochs: list[dict[str, float]]) -> list[dict[str, float]]:
    times = {"seconds", "images_per_second", "data_wait_share"}
    return [{name: value for name, value in epoch.items() if name not in times} for epoch in epochs]


def wait_for_checkpoint(folder: Path, process: subprocess.Popen[str], epoch: int, step: int) -> None:
    deadline = time.monotonic() + TIME_LIMIT
    while not any(path.name >= f"epoch-{epoch:04d}-step-{step:06d}" for path in folder.glob("epoch-*.pt")):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def dataset(s3, tmp_path_factory) -> Path:
    """A folder with the index of a data set in S3."""
    name = f"trial-{os.getpid()}"
    s3.create_bucket(Bucket=name)
    folder = tmp_path_factory.mktemp("dataset")
    store_dataset(s3, name, folder, train=61, validation=21, shards=3, calibration=CALIBRATION)
    return folder


def new_base(dataset: Path, folder: Path) -> Path:
    channel = folder / "input" / "data" / "index"
    channel.parent.mkdir(parents=True)
    channel.symlink_to(dataset)
    return folder


@pytest.fixture(scope="module")
def finished(dataset, tmp_path_factory) -> Job:
    """A trial of two ranks that ran to its end."""
    return train(new_base(dataset, tmp_path_factory.mktemp("job")))


def test_two_ranks_train_to_the_end_and_leave_a_whole_artifact(finished, dataset):
    assert finished.status == 0, finished.log
    model = finished.base / "model"
    check_complete(model)
    assert sorted(path.name for path in finished.base.iterdir()) == ["input", "model"]
    description = read_description(model)
    assert description.classes == list(CLASSES)
    assert description.dataset_sha256 == read_index(dataset).sha256
    assert description.hyperparameters["learning_rate"] == "0.002"
    assert description.mirrored


def test_the_exported_model_counts_as_well_as_its_metrics_say(finished):
    from steps.photos.jpeg import network_input

    model = finished.base / "model"
    session = onnxruntime.InferenceSession(model / "model.onnx", providers=["CPUExecutionProvider"])
    right, largest = 0, 0.0
    # The validation split of `dataset`.
    for sample in photos(21, 10_000):
        pixels = network_input(sample.jpeg, 32)
        logits, mirrored = (
            session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(each)[None]})[0]
            for each in (pixels, pixels[..., ::-1])
        )
        right += CLASSES[int(logits.argmax())] == sample.quantity
        largest = max(largest, float(np.abs(logits - mirrored).max()))
    # FLAGS have mirrored answers.
    assert largest < 1e-4
    assert right / 21 == pytest.approx(read_description(model).metrics["validation:accuracy"])


def test_it_is_calibrated_by_the_photos_that_the_index_names_and_no_others(finished):
    """Of both ranks, in whatever batches they came."""
    from steps.photos.jpeg import network_input

    model = finished.base / "model"
    session = onnxruntime.InferenceSession(model / "model.onnx", providers=["CPUExecutionProvider"])
    samples = [sample for sample in photos(21, 10_000) if sample.image_id in CALIBRATION]
    pixels = np.stack([network_input(sample.jpeg, 32) for sample in samples])
    (logits,) = session.run(None, {session.get_inputs()[0].name: pixels})
    truths = np.array([CLASSES.index(sample.quantity) for sample in samples])
    expected = calibrate(
        logits.astype(np.float64), truths, classes=CLASSES, decision="argmax", level=0.9, sure_accuracy=0.9
    )
    found = read_description(model).calibration
    assert found is not None
    assert found.bins == expected.bins == len(CALIBRATION)
    assert found.temperature == pytest.approx(expected.temperature, rel=1e-3)
    assert found.least_probability == pytest.approx(expected.least_probability, rel=1e-3)
    assert f"by {len(CALIBRATION)} bins" in finished.log


def test_the_log_holds_one_line_of_metrics_an_epoch_and_the_objective_never_falls(finished):
    best = [float(value) for value in re.findall(r"validation:best_accuracy=([0-9.eE+-]+)", finished.log)]
    assert len(best) == 3
    assert best == sorted(best)
    assert best[-1] == pytest.approx(read_description(finished.base / "model").metrics["validation:accuracy"], abs=1e-6)


def test_the_log_tells_the_steps_and_the_backend_with_its_reason(finished):
    assert "backend gloo: no GPU here" in finished.log
    # 61 photos: 31 a rank, in four batches of 8 at most.
    assert "61 training photos in 3 shards, 4 steps per epoch; 21 validation photos" in finished.log


def test_a_trial_whose_rank_was_killed_goes_on_at_its_step_as_if_nothing_had_happened(finished, dataset, tmp_path):
    base = new_base(dataset, tmp_path)
    process = launch(base, free_port(), *FLAGS, *CHECKPOINT_EACH_STEP)
    folder = base / "checkpoints" / "job-1"
    wait_for_checkpoint(folder, process, epoch=1, step=2)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[1]), signal.SIGKILL)
    killed = finish(process, base)
    assert killed.status != 0
    data = checkpoint.read_newest(folder, fingerprint_of(folder))
    assert data is not None
    position = checkpoint.decode(data)[0]

    resumed = train(base)
    assert resumed.status == 0, resumed.log
    assert f"resumed at epoch {position.epoch + 1}, step {position.step}" in resumed.log
    assert without_times(resumed.epochs) == without_times(finished.epochs)


def fingerprint_of(folder: Path) -> dict[str, str]:
    newest = max(folder.glob("epoch-*.pt"))
    return torch.load(newest, weights_only=True)["fingerprint"]


def test_a_damaged_shard_ends_every_rank_with_its_name(s3, bucket, tmp_path):
    store_dataset(s3, bucket, tmp_path / "input" / "data" / "index", train=40, validation=9, shards=2)
    (key,) = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket, Prefix="train/")["Contents"]][1:]
    s3.put_object(Bucket=bucket, Key=key, Body=s3.get_object(Bucket=bucket, Key=key)["Body"].read()[:-5000])
    job = train(tmp_path)
    assert job.status != 0
    lines = [line for line in job.log.splitlines() if f"s3://{bucket}/{key}" in line]
    assert len(lines) == 2, job.log
    assert f"s3://{bucket}/{key}" in job.failure


# ------------------------------------------------------------------------------------------------ in this process


@pytest.fixture
def alone(base, traced_once, monkeypatch):
    """One rank in this process, on the small data set."""
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(base))
    monkeypatch.setenv("TRAINING_JOB_NAME", "job-1")
    # Threads of one operation wait for each other busily; with other processes on the machine that takes forever.
    monkeypatch.setenv("SM_NUM_CPUS", "1")
    return base


def run_alone(*flags: str) -> None:
    run(recipe(*FLAGS, "--workers", "0", *flags))


def test_a_loss_that_is_not_finite_fails_and_leaves_no_model(alone):
    with pytest.raises(StepError, match=r"loss is not a finite number.*smaller learning rate"):
        run_alone("--optimizer", "sgd", "--learning-rate", "1e30")
    assert not (alone / "model").exists()


def test_the_model_is_that_of_the_lowest_loss_where_that_decides(alone, monkeypatch, caplog):
    caplog.set_level("INFO")
    figures = iter([(0.5, 1.2), (0.3, 1.0), (0.4, 1.1)])

    def validate(*arguments, **named):
        accuracy, loss = next(figures)
        return replace(measured(*arguments, **named), accuracy=accuracy, loss=loss)

    measured = steps.train.run.validate
    monkeypatch.setattr(steps.train.run, "validate", validate)
    run_alone("--best-epoch-by", "loss", "--patience", "1")
    metrics = read_description(alone / "model").metrics
    assert (metrics["epoch"], metrics["validation:loss"], metrics["validation:accuracy"]) == (2, 1.0, 0.3)
    assert "best loss in epoch 2: loss 1.0000, accuracy 0.3000; model in " in caplog.text
    (last,) = [line for line in caplog.messages if line.startswith("epoch=3 train:")]
    assert "validation:best_accuracy=0.3" in last
    assert "stopped: no better loss in 1 epochs" in caplog.text


def test_a_trial_stops_when_its_patience_is_at_an_end(alone, caplog):
    caplog.set_level("INFO")
    run_alone("--epochs", "50", "--patience", "1", "--learning-rate", "1e-12")
    assert "stopped: no better accuracy in 1 epochs" in caplog.text
    assert len(json.loads((alone / "model" / "history.json").read_text())["epochs"]) < 50


def test_a_trial_begins_with_the_weights_it_is_given(s3, alone, caplog):
    caplog.set_level("INFO")
    run_alone("--epochs", "1")
    bucket = read_index(alone / "input" / "data" / "index").splits["train"].shards[0].uri.split("/")[2]
    s3.upload_file(str(alone / "model" / "model.safetensors"), bucket, "first.safetensors")
    first = json.loads((alone / "model" / "history.json").read_text())["epochs"][0]["train_loss"]
    shutil.rmtree(alone / "model")
    run_alone("--epochs", "1", "--weights", f"s3://{bucket}/first.safetensors")
    assert f"weights from s3://{bucket}/first.safetensors" in caplog.text
    assert json.loads((alone / "model" / "history.json").read_text())["epochs"][0]["train_loss"] < first


def test_a_folder_of_published_weights_stands_for_the_file_of_the_architecture(s3, alone, caplog, monkeypatch):
    caplog.set_level("INFO")
    bucket = read_index(alone / "input" / "data" / "index").splits["train"].shards[0].uri.split("/")[2]
    content = io.BytesIO()
    torch.save(build_network("resnet18", 1000, 32, 3).network.state_dict(), content)
    name = f"resnet18-{hashlib.sha256(content.getvalue()).hexdigest()[:8]}.pth"
    monkeypatch.setitem(imagenet_weights.FILES, "resnet18", PublishedFile(name, "IMAGENET1K_V1", 44.661))
    s3.put_object(Bucket=bucket, Key=f"weights/{name}", Body=content.getvalue())
    run_alone("--epochs", "1", "--weights", f"s3://{bucket}/weights/")
    assert f"weights from s3://{bucket}/weights/{name}; fc.bias, fc.weight start at random" in caplog.text
    recorded = read_description(alone / "model").hyperparameters
    assert recorded["weights"] == f"s3://{bucket}/weights/{name}"


def test_batch_statistics_over_all_ranks_want_gpus(alone):
    with pytest.raises(StepError, match="--sync-batch-norm needs GPUs"):
        run_alone("--sync-batch-norm", "true")


def test_a_checkpoint_of_other_hyperparameters_is_refused(alone):
    run_alone("--epochs", "1", *CHECKPOINT_EACH_STEP)
    with pytest.raises(StepError, match=r"another training: learning_rate is 0\.5 and was 0\.002"):
        run_alone("--epochs", "1", "--learning-rate", "0.5")


@pytest.mark.parametrize(
    "planted", [pytest.param("20000", id="of the test split"), pytest.param("00000", id="of the training split")]
)
def test_a_photo_of_another_split_among_those_that_calibrate_is_refused(alone, planted):
    """Nothing is learned from test photos, and no confidence from training photos."""
    name_photos_that_calibrate(alone, [planted, *CALIBRATION])
    with pytest.raises(
        StepError, match=f"^the validation split does not contain 1 of the {len(CALIBRATION) + 1} photos by which"
    ):
        run_alone("--epochs", "1")
    assert not (alone / "model" / "model.json").exists()


def test_an_index_without_such_photos_makes_a_model_without_a_calibration(alone, caplog):
    name_photos_that_calibrate(alone, [])
    run_alone("--epochs", "1")
    assert read_description(alone / "model").calibration is None
    assert "the index names no photos by which to calibrate" in caplog.text


def name_photos_that_calibrate(base: Path, ids: list[str]) -> None:
    """In the job's index."""
    channel = base / "input" / "data" / "index"
    index = read_index(channel)
    (channel / "index.json").write_text(index.model_copy(update={"calibration": ids}).model_dump_json())


def test_an_absent_index_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    with pytest.raises(StepError, match=r"input/data/index: no dataset index"):
        run_alone()
