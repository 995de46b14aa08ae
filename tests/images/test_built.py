"""The images as they are built: what is in them, as whom they run, and what their entry points answer."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import free_port
from tests.images.building import BASE, Built, Workshop, inner
from tests.unit.steps.serve.container import Server, photo, write_model


@pytest.fixture(scope="module")
def serving(workshop: Workshop) -> Built:
    return workshop.build("serve")


@pytest.fixture(scope="module")
def query(workshop: Workshop) -> Built:
    return workshop.build("query")


@pytest.fixture(scope="module")
def train(workshop: Workshop) -> Built:
    return workshop.build("train")


def test_the_serving_image_answers_ping_and_counts_a_photo_as_sagemaker_starts_it(
    serving: Built, tmp_path: Path
) -> None:
    write_model(tmp_path / "opt_ml" / "model")
    # Only root may read the model.
    (tmp_path / "opt_ml" / "model").chmod(0o700)
    port, log = free_port(), tmp_path / "log"
    volume = f"{tmp_path / 'opt_ml'}:/opt/ml:ro"
    process = serving.start("serve", volumes=[volume], SAGEMAKER_BIND_TO_PORT=str(port), MODEL_VERSION="7")
    server = Server(port, process, log)  # type: ignore[arg-type]
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                status, _, _ = server.send(method="GET", path="/ping")
                break
            except OSError:
                assert process.poll() is None, process.communicate()[0]
                assert time.monotonic() < deadline
                time.sleep(0.1)
        assert status == 200
        status, answer, _ = server.send(photo(250))
        assert (status, answer["count"], answer["model_version"]) == (200, 2, "7")
        assert inner(process).uids().real == 10001
    finally:
        inner(process).send_signal(signal.SIGTERM)
        text, _ = process.communicate(timeout=60)
    assert process.returncode == 0, text
    assert "telemetry" not in text


def test_the_serving_image_says_what_it_is_and_takes_sagemakers_port(serving: Built) -> None:
    assert serving.config.get("User", "") == ""
    assert {name: value for name, value in serving.config["Labels"].items() if not name.startswith("io.buildah")} == {
        "com.amazonaws.sagemaker.capabilities.accept-bind-to-port": "true",
        "org.opencontainers.image.title": "bin counting: serve",
        "org.opencontainers.image.base.name": BASE,
    }


def test_an_image_holds_its_own_step_alone(query: Built) -> None:
    assert query.output("ls", "/opt/program/steps") == (0, "__init__.py\ncontracts\nquery\nreports\nruntime\n")


def test_what_the_training_lock_leaves_to_its_base_is_torch_and_what_torch_brings(train: Built) -> None:
    # This base has no torch.
    _, said = train.output("python3", "-m", "pip", "check")
    missing = set(re.findall(r"requires ([a-z0-9-]+), which is not installed", said))
    wrong = [line for line in said.splitlines() if "has requirement" in line]
    assert (missing <= {"torch", "torchvision", "sympy", "mpmath"}, wrong) == (True, []), said


@pytest.mark.parametrize("image", ["serving", "query"])
def test_what_the_lock_installs_is_complete(image: str, request: pytest.FixtureRequest) -> None:
    status, said = request.getfixturevalue(image).output("python3", "-m", "pip", "check")
    assert (status, said.splitlines()[-1]) == (0, "No broken requirements found.")


def test_the_processing_images_entry_point_is_its_step(query: Built) -> None:
    with query.start("--help") as process:
        text, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "usage: steps.query" in text
    assert "--maximum-quantity" in text


def test_a_processing_job_with_too_few_arguments_fails_with_a_line(query: Built) -> None:
    with query.start("--image-location", "s3://photos") as process:
        text, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in text
    assert "the following arguments are required: --maximum-quantity" in text
