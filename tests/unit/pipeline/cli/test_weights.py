"""The command weights: what it prints and exits with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest

from pipeline.operations.weights.download import Origin
from steps.contracts import imagenet_weights
from steps.contracts.imagenet_files import PublishedFile
from tests.unit.pipeline.conftest import Call

CONTENT = b"weights"
NAME = f"resnet34-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"


def fetch(_: Origin, published: PublishedFile, place: Path, report: Callable[[int], None]) -> None:
    """In place of torchvision's server."""
    place.write_bytes(CONTENT)
    report(len(CONTENT))


@pytest.fixture
def bucket(account: None, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(imagenet_weights.FILES, "resnet34", PublishedFile(NAME, "IMAGENET1K_V1", len(CONTENT) / 2**20))
    monkeypatch.setitem(imagenet_weights._ARCHITECTURES, NAME, "resnet34")
    monkeypatch.setattr(Origin, "fetch", fetch)
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="bins-123456789012")
    return "s3://bins-123456789012/bin-counting/weights"


def test_weights_are_uploaded_once_with_their_terms(call: Call, bucket: str, project: Path) -> None:
    (project / "w.pth").write_bytes(CONTENT)
    outcome = call("weights")
    assert (outcome.code, outcome.out.splitlines()[0]) == (0, f"uploaded: {bucket}/{NAME}")
    assert outcome.out.splitlines()[1].startswith("next: ")
    assert "ImageNet-1K, whose terms of access are for non-commercial research" in outcome.error
    again = call("weights", "--file", "w.pth")
    assert (again.code, again.out.splitlines()[0]) == (0, f"unchanged: {bucket}/{NAME}")
    assert "ImageNet-1K" not in again.error


def test_an_object_that_is_another_file_by_its_size_is_replaced(call: Call, bucket: str) -> None:
    s3, key = boto3.client("s3", region_name="us-east-1"), f"bin-counting/weights/{NAME}"
    s3.put_object(Bucket="bins-123456789012", Key=key, Body=bytes(5000))
    outcome = call("weights")
    assert (outcome.code, outcome.out.splitlines()[0]) == (0, f"replaced: {bucket}/{NAME}")
    assert "ImageNet-1K" in outcome.error
    assert s3.get_object(Bucket="bins-123456789012", Key=key)["Body"].read() == CONTENT


def test_settings_that_do_not_read_them_are_named(call: Call, bucket: str, project: Path) -> None:
    file = project / "pipeline.yaml"
    file.write_text(file.read_text() + "training: {weights: none}\n")
    outcome = call("weights")
    assert outcome.code == 0
    assert "no training reads them: training.weights is none; set it to imagenet" in outcome.error


def test_json_has_the_source(call: Call, bucket: str, project: Path) -> None:
    (project / "w.pth").write_bytes(CONTENT)
    [placed] = json.loads(call("weights", "--file", "w.pth", "--json").out)
    assert placed["source"] == f"https://download.pytorch.org/models/{NAME}"
    assert (placed["architecture"], placed["change"]) == ("resnet34", "uploaded")


def test_a_wrong_file_and_a_wrong_name_are_one_line_each(call: Call, bucket: str, project: Path) -> None:
    (project / "w.pth").write_bytes(b"other")
    outcome = call("weights", "--file", "w.pth")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.error.startswith("w.pth: its SHA-256 begins with d9298a10, which is not that of https://download")
    outcome = call("weights", "--architecture", "resnet33")
    assert outcome.code == 1
    assert outcome.error == "--architecture: torchvision has no classifier 'resnet33'; did you mean resnet34?\n"
