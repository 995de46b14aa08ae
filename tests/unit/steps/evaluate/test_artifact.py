"""The model artifact: its archive, its history, and its ONNX graph against its PyTorch weights."""

import gzip
import io
import os
import random
import re
import tarfile

import pytest

from steps.contracts.artifact import WEIGHTS
from steps.contracts.errors import StepError
from steps.evaluate.artifact import unpack
from tests.unit.steps.evaluate.networks import pack, write_artifact
from tests.unit.steps.train.photos import CLASSES, photos


def test_the_two_count_alike(job):
    job.store(photos(9, 100))
    job.put_model()
    agreement = job.run()["agreement"]
    assert agreement["photos"] == agreement["same_counts"] == 9
    assert 0 <= agreement["largest_difference"] < 1e-4


def test_a_graph_that_is_not_the_networks_ends_the_step(job):
    job.store(photos(9, 100))
    job.put_model(scale=0.001, trained_scale=0.0005)
    with pytest.raises(StepError, match="disagrees with its PyTorch weights"):
        job.run()


def test_an_artifact_without_weights_is_not_whole(job):
    job.store(photos(3, 100))
    folder = write_artifact(job.base / "artifact", CLASSES, dataset_sha256=job.dataset_sha256)
    (folder / WEIGHTS).unlink()
    job.put_archive(pack(folder))
    with pytest.raises(StepError, match=re.escape(WEIGHTS)):
        job.run()


@pytest.mark.parametrize("content", [b"", b"no weights", b"\xff" * 100])
def test_weights_that_cannot_be_read_are_named(job, content):
    job.store(photos(3, 100))
    folder = write_artifact(job.base / "artifact", CLASSES, dataset_sha256=job.dataset_sha256)
    (folder / WEIGHTS).write_bytes(content)
    job.put_archive(pack(folder))
    with pytest.raises(StepError, match=re.escape(WEIGHTS)):
        job.run()


def test_weights_of_another_network_are_named(job):
    job.store(photos(3, 100))
    folder = write_artifact(job.base / "artifact", (0, 1), dataset_sha256=job.dataset_sha256)
    other = write_artifact(job.base / "other", CLASSES)
    (folder / WEIGHTS).write_bytes((other / WEIGHTS).read_bytes())
    job.put_archive(pack(folder))
    with pytest.raises(StepError, match="not the weights of brightness"):
        job.run()


def test_an_input_without_a_model_is_named(job):
    job.store(photos(3, 100))
    with pytest.raises(StepError, match=re.escape("model.tar.gz")):
        job.run()


def escaping_archive():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("../../escaped")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"evil"))
    return buffer.getvalue()


def damaged_in_the_middle():
    content = bytearray(gzip.compress(os.urandom(20_000)))
    content[12:40] = bytes(28)
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"no archive", id="not gzip"),
        pytest.param(b"", id="empty"),
        pytest.param(gzip.compress(os.urandom(20_000))[:5_000], id="truncated"),
        pytest.param(damaged_in_the_middle(), id="damaged"),
        pytest.param(escaping_archive(), id="escaping"),
    ],
)
def test_an_archive_that_cannot_be_used_is_refused_by_name(job, content):
    job.store(photos(3, 100))
    job.put_archive(content)
    with pytest.raises(StepError, match=re.escape("model.tar.gz")):
        job.run()
    assert not list(job.base.rglob("escaped"))


def test_no_damaged_model_gets_through_the_archive(job):
    """Deflate decodes many wrong bytes without an error; only the checksum detects them."""
    content = bytes(random.Random(1).choices(b"abcdefgh", k=100_000))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("model.onnx")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    job.put_archive(buffer.getvalue())
    unpack(job.model)
    for place in range(500, len(buffer.getvalue()) - 100, 1500):
        damaged = bytearray(buffer.getvalue())
        damaged[place] ^= 0x55
        job.put_archive(bytes(damaged))
        with pytest.raises(StepError, match=re.escape("model.tar.gz")):
            unpack(job.model)


@pytest.mark.parametrize("history", ["{", "[]", '{"epochs": [{"epoch": 1}]}'])
def test_a_history_that_cannot_be_read_is_named(job, history):
    job.store(photos(3, 100))
    job.put_model(history=history)
    with pytest.raises(StepError, match=re.escape("history.json")):
        job.run()
