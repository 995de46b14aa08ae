"""Bringing published weights into the bucket: by a download, or from a file of this machine."""

from __future__ import annotations

import hashlib
from pathlib import Path

import boto3
import pytest

from pipeline.operations.weights import placing
from pipeline.operations.weights.download import Origin
from pipeline.settings import Settings
from steps.contracts import imagenet_weights
from steps.contracts.errors import PipelineError
from steps.contracts.imagenet_files import PublishedFile

pytestmark = pytest.mark.usefixtures("account")
BUCKET = "bins-111122223333"
CONTENT = {"resnet34": b"thirty-four", "resnet18": b"eighteen"}


class Published(Origin):
    """A server that has the files of CONTENT."""

    def fetch(self, published: PublishedFile, place: Path, report: object = None) -> None:
        place.write_bytes(CONTENT[published.name.partition("-")[0]])


@pytest.fixture(autouse=True)
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The URIs of small files, published in place of torchvision's."""
    uris = {}
    for architecture, content in CONTENT.items():
        name = f"{architecture}-{hashlib.sha256(content).hexdigest()[:8]}.pth"
        file = PublishedFile(name, "IMAGENET1K_V1", len(content) / 2**20)
        monkeypatch.setitem(imagenet_weights.FILES, architecture, file)
        monkeypatch.setitem(imagenet_weights._ARCHITECTURES, name, architecture)
        uris[architecture] = f"s3://{BUCKET}/bin-counting/weights/{name}"
    return uris


@pytest.fixture
def bucket(account: None) -> None:
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=BUCKET)


def content_of(uri: str) -> bytes:
    key = uri.removeprefix(f"s3://{BUCKET}/")
    return bytes(boto3.client("s3", region_name="us-east-1").get_object(Bucket=BUCKET, Key=key)["Body"].read())


@pytest.mark.usefixtures("bucket")
def test_weights_are_downloaded_once(settings: Settings, files: dict[str, str]) -> None:
    names = placing.architectures(settings, None)
    [placed] = placing.place(settings, names, origin=Published())
    assert (placed.architecture, placed.uri, placed.change) == ("resnet34", files["resnet34"], "uploaded")
    assert placed.uri == settings.weights_uri
    assert placed.source == f"https://download.pytorch.org/models/{placed.uri.rpartition('/')[2]}"
    assert content_of(placed.uri) == CONTENT["resnet34"]

    class Nothing(Origin):
        def fetch(self, *_: object) -> None:
            raise AssertionError("it is there")

    [again] = placing.place(settings, names, origin=Nothing())
    assert again.change == "unchanged"


@pytest.mark.usefixtures("bucket")
def test_an_object_of_another_size_is_replaced(settings: Settings, files: dict[str, str]) -> None:
    key = files["resnet34"].removeprefix(f"s3://{BUCKET}/")
    boto3.client("s3", region_name="us-east-1").put_object(Bucket=BUCKET, Key=key, Body=bytes(10_000))
    [placed] = placing.place(settings, ["resnet34"], origin=Published())
    assert placed.change == "replaced"
    assert content_of(placed.uri) == CONTENT["resnet34"]
    [again] = placing.place(settings, ["resnet34"], origin=Published())
    assert again.change == "unchanged"


@pytest.mark.usefixtures("bucket")
def test_a_search_over_architectures_gets_all_of_its_files(settings: Settings, files: dict[str, str]) -> None:
    values = settings.model_dump()
    values["tuning"]["ranges"] = {"architecture": {"values": ["resnet18", "resnet34"]}}
    searching = Settings.model_validate(values)
    placed = list(placing.place(searching, placing.architectures(searching, None), origin=Published()))
    assert {each.architecture: each.uri for each in placed} == files
    assert all(content_of(each.uri) == CONTENT[each.architecture] for each in placed)


@pytest.mark.usefixtures("bucket")
def test_a_file_of_this_machine_is_taken_for_the_architecture_whose_digest_it_has(
    settings: Settings, files: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "anything").write_bytes(CONTENT["resnet18"])
    [placed] = placing.place(settings, ["resnet34", "resnet18"], tmp_path / "anything", origin=Published())
    assert placed.uri == files["resnet18"]
    assert content_of(placed.uri) == CONTENT["resnet18"]


@pytest.mark.usefixtures("bucket")
def test_a_file_with_another_digest_is_refused_with_what_it_should_be(
    settings: Settings, files: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "w.pth").write_bytes(b"other")
    digits = hashlib.sha256(b"other").hexdigest()[:8]
    with pytest.raises(PipelineError, match=rf"w\.pth: its SHA-256 begins with {digits}, which is not that of https"):
        list(placing.place(settings, ["resnet34"], tmp_path / "w.pth"))
    assert "Contents" not in boto3.client("s3", region_name="us-east-1").list_objects_v2(Bucket=BUCKET)


def test_a_bucket_that_does_not_exist_is_created_by_bootstrap(settings: Settings) -> None:
    with pytest.raises(PipelineError, match=f"there is no bucket {BUCKET} for the weights; create it: .* bootstrap"):
        list(placing.place(settings, ["resnet34"], origin=Published()))


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("resnet33", "--architecture: torchvision has no classifier 'resnet33'; did you mean resnet34?"),
        ("vit_h_14", "--architecture: torchvision publishes no weights of vit_h_14 from ImageNet alone; take vit_l_16"),
    ],
)
def test_an_architecture_without_published_weights_is_named(settings: Settings, named: str, message: str) -> None:
    with pytest.raises(PipelineError, match=message.replace("?", r"\?")):
        placing.architectures(settings, named)
