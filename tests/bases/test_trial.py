"""A trial, its evaluation and its endpoint on the PyTorch of one of AWS's training images.

Training and evaluation run with the packages of the image alone: the environment variable BASE_IMAGE_ALONE hides those
that the tests themselves need.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import torchvision

from pipeline import ROOT
from pipeline.aws import deep_learning_containers
from steps.contracts.artifact import ONNX, read_description
from steps.contracts.dataset import NAME
from steps.contracts.evaluation import FILE, PREDICTIONS
from tests.conftest import free_port
from tests.unit.steps.arguments import EVALUATE, flags_of
from tests.unit.steps.serve.container import serve
from tests.unit.steps.train.photos import launch, photos, store_dataset

ALONE = {"BASE_IMAGE_ALONE": "1", "PYTHONPATH": str(ROOT)}
TIME_LIMIT = 600
FLAGS = (
    *("--mirrored-answers", "true"),
    *("--architecture", "resnet34", "--image-size", "48", "--epochs", "2", "--batch-size", "12"),
    *("--learning-rate", "0.001", "--workers", "1", "--patience", "0"),
)


@pytest.fixture(scope="module")
def dataset(s3: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the index of a data set in S3, whose test split has six photos."""
    name = f"bases-{os.getpid()}"
    s3.create_bucket(Bucket=name)
    folder = tmp_path_factory.mktemp("dataset")
    store_dataset(s3, name, folder, train=96, validation=24, shards=2)
    return folder


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The /opt/ml of a trial of two processes that has ended, and its log."""
    base = tmp_path_factory.mktemp("trial")
    (base / "input" / "data").mkdir(parents=True)
    (base / "input" / "data" / "index").symlink_to(dataset)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ALONE.items():
            patch.setenv(name, value)
        process = launch(base, free_port(), *FLAGS)
    try:
        log, _ = process.communicate(timeout=TIME_LIMIT)
    finally:
        process.kill()
    assert process.returncode == 0, log
    return base, log


@pytest.fixture(scope="module")
def evaluated(dataset: Path, trained: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of the trial's evaluation."""
    base = tmp_path_factory.mktemp("evaluation")
    inputs = base / "processing" / "input"
    for name in ("model", "index"):
        (inputs / name).mkdir(parents=True)
    (inputs / "index" / NAME).write_bytes((dataset / NAME).read_bytes())
    with tarfile.open(inputs / "model" / "model.tar.gz", "w:gz") as archive:
        for path in (trained[0] / "model").iterdir():
            archive.add(path, path.name)
    done = subprocess.run(
        [sys.executable, "-m", "steps.evaluate", *flags_of(EVALUATE)],
        cwd=base,
        env={**os.environ, **ALONE, "SAGEMAKER_BASE_DIR": str(base)},
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return base / "processing" / "output" / "evaluation"


def test_the_environment_has_the_pytorch_of_an_image_and_hides_the_other_packages() -> None:
    tags = {
        tag.partition("-")[0]
        for launcher in ("torchrun", "smddp")
        for tag in [deep_learning_containers.pytorch_training("us-east-1", launcher, "gpu").partition(":")[2]]
    }
    version = torch.__version__.partition("+")[0]
    assert version in tags
    assert Path(sys.prefix).name == f"torch-{version}"
    assert tags == {path.stem.removeprefix("torch-") for path in (ROOT / "requirements" / "bases").iterdir()}
    assert tags == set(re.findall(r"^TORCHES := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[0].split())
    pinned = (ROOT / "requirements" / "bases" / f"torch-{version}.txt").read_text().splitlines()[1:]
    assert pinned == [f"torch=={version}", f"torchvision=={torchvision.__version__.partition('+')[0]}"]
    alone = subprocess.run(
        [sys.executable, "-c", "import torch; print(torch.__version__); import pytest"],
        env={**os.environ, **ALONE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert alone.stdout.strip() == torch.__version__
    assert "No module named 'pytest'" in alone.stderr


def test_resnet34_trains_and_is_exported(trained: tuple[Path, str]) -> None:
    base, log = trained
    description = read_description(base / "model")
    assert description.architecture == "resnet34"
    assert (base / "model" / ONNX).stat().st_size > 80_000_000
    assert "2 processes on cpu" in log


def test_its_evaluation_finds_the_graph_and_pytorch_in_agreement(evaluated: Path) -> None:
    evaluation = json.loads((evaluated / FILE).read_text())
    assert evaluation["agreement"]["photos"] == 6
    assert evaluation["agreement"]["same_counts"] == 6
    assert evaluation["agreement"]["largest_difference"] < 1e-3
    assert evaluation["dataset"]["item_count"] == 6


def test_an_endpoint_answers_what_the_evaluation_predicted(
    trained: tuple[Path, str], evaluated: Path, tmp_path: Path
) -> None:
    rows = pq.read_table(evaluated / PREDICTIONS).to_pylist()
    predicted = {row["image_id"]: row["predicted"] for row in rows}
    (tmp_path / "model").symlink_to(trained[0] / "model")
    server = serve(tmp_path)
    try:
        answers = {photo.image_id: server.send(photo.jpeg) for photo in photos(6, 20_000)}
    finally:
        server.stop()
    assert {status for status, _, _ in answers.values()} == {200}
    assert {image_id: answer["count"] for image_id, (_, answer, _) in answers.items()} == predicted
