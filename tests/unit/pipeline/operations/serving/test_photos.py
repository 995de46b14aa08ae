"""Photos by their names: files, folders and S3."""

from __future__ import annotations

from pathlib import Path

import boto3
import numpy as np
import pytest
import simplejpeg

from pipeline.operations.serving.photos import Photo, Reader
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError


def jpeg(shade: int = 128) -> bytes:
    pixels = np.full((16, 16, 3), shade, dtype=np.uint8)
    data: bytes = simplejpeg.encode_jpeg(pixels)
    return data


def read(settings: Settings, sources: list[str]) -> list[Photo]:
    reader = Reader(settings)
    return [reader.read(name) for name in reader.names(sources)]


def test_files_and_folders_are_read_in_order(tmp_path: Path, settings: Settings) -> None:
    for name in ("b.jpg", "a.JPEG", "notes.txt"):
        (tmp_path / name).write_bytes(jpeg())
    (tmp_path / "single").mkdir()
    (tmp_path / "single" / "c.jpg").write_bytes(jpeg())
    photos = read(settings, [str(tmp_path / "single" / "c.jpg"), str(tmp_path)])
    assert [Path(photo.source).name for photo in photos] == ["c.jpg", "a.JPEG", "b.jpg"]
    assert photos[0].data == jpeg()


def test_a_photo_that_is_named_twice_is_in_the_list_once(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kind: a bin that is counted twice, and disagrees twice."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg", "notes.txt"):
        (folder / name).write_bytes(jpeg())
    (folder / "link.jpg").symlink_to(folder / "a.jpg")
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    reader = Reader(settings)
    sources = ["photos/b.jpg", "./photos/b.jpg", "photos", "photos/", str(folder / "a.jpg"), "photos/../link/a.jpg"]
    assert reader.names(sources) == ["photos/b.jpg", "photos/a.jpg", "photos/link.jpg"]
    assert reader.left_out.sentence() == "1 other-file (notes.txt)"


def test_photos_of_the_same_name_in_two_folders_are_two(tmp_path: Path, settings: Settings) -> None:
    names = [str(tmp_path / folder / "a.jpg") for folder in ("shelf-1", "shelf-2")]
    for name in names:
        Path(name).parent.mkdir()
        Path(name).write_bytes(jpeg())
    assert Reader(settings).names(names) == names


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG\r\n\x1a\n" + b"0" * 100, "not a JPEG"),
        (b"", "not a JPEG"),
        (jpeg()[:-2] + b"0" * 6_291_456 + b"\xff\xd9", "a real-time endpoint accepts at most 6,291,456"),
    ],
)
def test_what_the_endpoint_cannot_take_is_refused_by_name(
    tmp_path: Path, settings: Settings, content: bytes, message: str
) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    with pytest.raises(PipelineError) as caught:
        read(settings, [str(path)])
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_a_serverless_endpoint_takes_less(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(jpeg()[:-2] + b"0" * 4_194_304 + b"\xff\xd9")
    assert len(read(settings, [str(path)])) == 1
    serverless = settings.endpoint.model_copy(update={"mode": "serverless"})
    with pytest.raises(PipelineError, match="a serverless endpoint accepts at most 4,194,304"):
        read(settings.model_copy(update={"endpoint": serverless}), [str(path)])


@pytest.mark.parametrize("tail", [b"\0" * 100_000, b"ftypmp42" * 400, jpeg()[:100] * 30])
def test_bytes_that_a_camera_adds_behind_the_end_are_taken(tmp_path: Path, settings: Settings, tail: bytes) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(jpeg() + tail)
    assert len(read(settings, [str(path)])) == 1


def test_files_that_are_no_photos_by_their_names_are_counted_and_named(tmp_path: Path, settings: Settings) -> None:
    """The kind: a file that is passed over in silence, or taken by one command and not by another."""
    for name in ("a.jpg", "b.JPG", "c.jpeg", "d.png", "e.heic", "f.HEIF", "._a.jpg", ".DS_Store", "notes.txt"):
        (tmp_path / name).write_bytes(jpeg())
    (tmp_path / "below.jpg").mkdir()
    reader = Reader(settings)
    assert [Path(name).name for name in reader.names([str(tmp_path)])] == ["a.jpg", "b.JPG", "c.jpeg"]
    assert reader.left_out.sentence() == (
        "2 hidden-file (.DS_Store, ._a.jpg); 1 in-a-folder-below (below.jpg/); "
        "1 other-file (notes.txt); 3 other-format (d.png, e.heic, f.HEIF)"
    )
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "x.webp").write_bytes(b"RIFF")
    with pytest.raises(PipelineError, match=r"no \.jpg files in this folder; left out: 1 other-format \(x\.webp\)"):
        Reader(settings).names([str(tmp_path / "only")])


def test_a_file_that_is_not_there_is_named(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(PipelineError, match=r"absent\.jpg: cannot be read: No such file"):
        read(settings, [str(tmp_path / "absent.jpg")])


def test_a_folder_without_photos_is_named(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(PipelineError, match=r"no \.jpg files in this folder"):
        read(settings, [str(tmp_path)])


@pytest.mark.usefixtures("account")
def test_objects_and_prefixes_in_s3_are_read(settings: Settings) -> None:
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="photos")
    for key in ("bin-images/2.jpg", "bin-images/1.jpg", "bin-images/readme"):
        s3.put_object(Bucket="photos", Key=key, Body=jpeg())
    photos = read(settings, ["s3://photos/bin-images/", "s3://photos/bin-images/2.jpg"])
    assert [photo.source.rsplit("/", 1)[-1] for photo in photos] == ["1.jpg", "2.jpg"]


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("s3://photos/absent.jpg", "there is no such object"),
        ("s3://photos/empty/", "no .jpg objects below this prefix"),
        ("s3://nowhere-at-all/", "there is no such bucket"),
    ],
)
def test_what_is_not_in_s3_is_named(settings: Settings, uri: str, message: str) -> None:
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="photos")
    with pytest.raises(PipelineError) as caught:
        read(settings, [uri])
    assert str(caught.value).startswith(f"{uri}: {message}")
