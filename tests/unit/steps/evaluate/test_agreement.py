"""ONNX Runtime against PyTorch on the photos of the test split."""

import re

import pytest

from steps.contracts.artifact import WEIGHTS
from steps.contracts.errors import StepError
from tests.unit.steps.evaluate.networks import pack, write_artifact
from tests.unit.steps.train.photos import CLASSES, photos


def test_the_two_count_alike(job):
    job.store(photos(9, 100))
    job.put_model()
    found = job.run()["agreement"]
    assert found["photos"] == found["same_counts"] == 9
    assert 0 <= found["largest_difference"] < 1e-4


def test_a_graph_that_is_not_the_networks_ends_the_step(job):
    job.store(photos(9, 100))
    job.put_model(scale=0.001, trained_scale=0.0005)
    with pytest.raises(StepError, match="disagrees with its PyTorch weights"):
        job.run()


def test_an_artifact_without_weights_is_not_whole(job):
    folder = write_artifact(job.base / "artifact", CLASSES)
    (folder / WEIGHTS).unlink()
    job.store(photos(3, 100))
    job.put_archive(pack(folder))
    with pytest.raises(StepError, match=re.escape(WEIGHTS)):
        job.run()


@pytest.mark.parametrize("content", [b"", b"no weights", b"\xff" * 100])
def test_weights_that_cannot_be_read_are_named(job, content):
    folder = write_artifact(job.base / "artifact", CLASSES)
    (folder / WEIGHTS).write_bytes(content)
    job.store(photos(3, 100))
    job.put_archive(pack(folder))
    with pytest.raises(StepError, match=re.escape(WEIGHTS)):
        job.run()


def test_weights_of_another_network_are_named(job):
    folder = write_artifact(job.base / "artifact", (0, 1))
    other = write_artifact(job.base / "other", CLASSES)
    (folder / WEIGHTS).write_bytes((other / WEIGHTS).read_bytes())
    job.store(photos(3, 100))
    job.put_archive(pack(folder))
    with pytest.raises(StepError, match="not the weights of brightness"):
        job.run()
