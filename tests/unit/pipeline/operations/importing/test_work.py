"""An import from a folder with labels to the layout of the raw data: counted, repeatable, nothing lost in silence."""

from __future__ import annotations

import json
import os
from pathlib import Path

import boto3
import pytest

from pipeline.operations.importing import work
from pipeline.operations.importing.destination import Destination, Folder, Prefix
from pipeline.operations.importing.labels import Label, read_list
from pipeline.operations.importing.matching import check_prefix, id_of, own_photos
from pipeline.operations.importing.work import Result
from pipeline.samples.layout import image_key, metadata_key
from pipeline.samples.sources import open_source
from steps.contracts.errors import PipelineError
from steps.contracts.photo_files import is_usable_id
from steps.contracts.s3_uri import S3Uri
from tests.unit.pipeline.operations.importing.test_pictures import picture, saved


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "photos"
    (path / "shelf").mkdir(parents=True)
    for name in ("a.JPG", "shelf/b c.jpeg"):
        (path / name).write_bytes(saved(picture(), "JPEG"))
    (path / "d.png").write_bytes(saved(picture(), "PNG"))
    (path / "e.HEIC").write_bytes(saved(picture(), "HEIF"))
    for name in (".DS_Store", "._a.JPG", "film.mov", "f.gif"):
        (path / name).write_bytes(b"x")
    return path


LABELS = [("a.JPG", 1, "x"), ("shelf/b c.jpeg", 2, "x"), ("d", 3, "y"), ("E.heic", 0, "")]


def labels(*rows: tuple[str, int | None, str]) -> list[Label]:
    return [Label(*row, f"line {number}") for number, row in enumerate(rows, start=2)]


def run(folder: Path, named: list[Label], destination: Destination, prefix: str = "", **options: bool) -> Result:
    result = Result()
    photos = own_photos(folder, named, prefix=prefix, passed_over=[], left_out=result.left_out)
    for outcome in work.carry_out(work.of_own_photos(photos), destination, **options):
        result.add(outcome)
    return result


@pytest.fixture(params=["folder", "S3"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> Destination:
    if request.param == "folder":
        return Folder(tmp_path / "raw")
    request.getfixturevalue("account")
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="raw-photos")
    return Prefix(s3, S3Uri("raw-photos", "own"))


def test_photos_and_labels_get_the_layout_of_a_run_and_everything_else_is_counted(
    folder: Path, destination: Destination
) -> None:
    named = labels(*LABELS, ("gone.jpg", 1, ""))
    result = run(folder, named, destination)
    assert (result.imported, result.converted) == (4, {"PNG": 1, "HEIF": 1})
    assert result.quantities == {0: 1, 1: 1, 2: 1, 3: 1}
    assert result.left_out.totals == {"hidden-file": 2, "other-file": 1, "other-format": 1, "label-without-photo": 1}
    assert result.left_out.examples["label-without-photo"] == ["gone.jpg, line 6"]
    ids = ["a", "d", "e", "shelf-b-c"]
    assert destination.names() == {key(image_id) for image_id in ids for key in (image_key, metadata_key)}
    assert destination.read(image_key("a")) == (folder / "a.JPG").read_bytes()
    assert destination.read(image_key("d")).startswith(b"\xff\xd8\xff")
    document = json.loads(destination.read(metadata_key("shelf-b-c")))
    assert (document["EXPECTED_QUANTITY"], document["BIN_FCSKU_DATA"], document["group"]) == (2, {}, "x")
    assert "group" not in json.loads(destination.read(metadata_key("e")))


def test_an_import_continues_and_repeats_nothing(folder: Path, destination: Destination) -> None:
    assert run(folder, labels(*LABELS[:2]), destination, dry=True).imported == 2
    assert destination.names() == set()
    assert run(folder, labels(*LABELS[:2]), destination).imported == 2
    again = run(folder, labels(*LABELS), destination)
    assert (again.imported, again.existing, again.relabelled) == (2, 2, 0)
    relabelled = run(folder, labels(("a.JPG", 5, "x"), *LABELS[1:]), destination)
    assert (relabelled.imported, relabelled.existing, relabelled.relabelled) == (0, 3, 1)
    assert json.loads(destination.read(metadata_key("a")))["EXPECTED_QUANTITY"] == 5


def test_another_photo_of_the_same_id_is_not_overwritten(folder: Path, destination: Destination) -> None:
    run(folder, labels(*LABELS), destination)
    other = saved(picture(64, 48), "JPEG")
    (folder / "a.JPG").write_bytes(other)
    second = run(folder, labels(*LABELS), destination)
    assert second.left_out.totals["taken-id"] == 1
    assert destination.read(image_key("a")) != other
    assert run(folder, labels(*LABELS), destination, prefix="two-").imported == 4
    assert destination.read(image_key("two-a")) == other
    assert run(folder, labels(*LABELS), destination, replace=True).imported == 1
    assert destination.read(image_key("a")) == other


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG"])
def test_a_photo_that_has_no_metadata_yet_is_not_overwritten(folder: Path, destination: Destination, name: str) -> None:
    other = saved(picture(64, 48), "JPEG")
    destination.write(f"bin-images/{name}", other)
    assert run(folder, labels(*LABELS[:1]), destination).left_out.totals["taken-id"] == 1
    assert destination.names() == {f"bin-images/{name}"}
    assert destination.read(f"bin-images/{name}") == other
    assert run(folder, labels(*LABELS[:1]), destination, replace=True).imported == 1
    assert destination.names() == {f"bin-images/{name}", metadata_key("a")}
    assert destination.read(f"bin-images/{name}") == (folder / "a.JPG").read_bytes()


def test_an_import_that_was_interrupted_between_a_photo_and_its_metadata_continues(
    folder: Path, destination: Destination
) -> None:
    destination.write(image_key("a"), (folder / "a.JPG").read_bytes())
    assert run(folder, labels(*LABELS[:1]), destination).imported == 1
    assert json.loads(destination.read(metadata_key("a")))["EXPECTED_QUANTITY"] == 1


def test_metadata_that_have_no_photo_yet_are_not_overwritten(folder: Path, destination: Destination) -> None:
    destination.write(metadata_key("a"), b'{"EXPECTED_QUANTITY": 4}')
    assert run(folder, labels(*LABELS[:1]), destination).left_out.totals["taken-id"] == 1
    assert destination.read(metadata_key("a")) == b'{"EXPECTED_QUANTITY": 4}'
    assert destination.names() == {metadata_key("a")}


def test_an_import_into_the_folder_of_the_photos_loses_none(tmp_path: Path) -> None:
    source = tmp_path / "bin-images"
    source.mkdir()
    photos = {"x y.jpg": saved(picture(), "JPEG"), "x-y.jpg": saved(picture(64, 48), "JPEG")}
    for name, content in photos.items():
        (source / name).write_bytes(content)
    result = run(source, labels(("x y.jpg", 1, ""), ("x-y.jpg", 2, "")), Folder(tmp_path))
    assert result.left_out.totals == {"taken-id": 1, "same-id-as-another": 1}
    assert {name: (source / name).read_bytes() for name in photos} == photos


def test_a_label_of_a_photo_in_another_folder_is_not_taken(tmp_path: Path) -> None:
    for name in ("shelf8/1.jpg", "shelf9/1.jpg", "A.jpg", "a.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(saved(picture(), "JPEG"))
    result = Result()
    rows = [("shelf7/1.jpg", 3, ""), ("photos/shelf8/1.jpg", 4, ""), ("a.jpg", 5, ""), ("A.jpg", 6, "")]
    photos = own_photos(tmp_path, labels(*rows), prefix="", passed_over=[], left_out=result.left_out)
    assert {photo.name: photo.quantity for photo in photos} == {"shelf8/1.jpg": 4, "a.jpg": 5, "A.jpg": 6}
    assert result.left_out.examples["label-without-photo"] == ["shelf7/1.jpg, line 2"]


def test_a_pipe_and_a_huge_file_are_left_out_unread(tmp_path: Path) -> None:
    source = tmp_path / "photos"
    source.mkdir()
    os.mkfifo(source / "pipe.jpg")
    with (source / "huge.jpg").open("wb") as file:
        file.truncate(1 << 40)
    result = run(source, labels(("pipe.jpg", 1, ""), ("huge.jpg", 1, "")), Folder(tmp_path / "raw"))
    assert result.left_out.totals == {"other-file": 1, "label-without-photo": 1, "too-large": 1}


@pytest.mark.parametrize(
    ("rows", "left_out"),
    [
        ([("a", 1, ""), ("a.JPG", 2, "")], "two-labels"),
        ([("a", None, "")], "no-usable-quantity"),
        ([("d", 1, "")], "no-label"),
    ],
)
def test_a_label_that_is_not_clear_is_none(
    folder: Path, tmp_path: Path, rows: list[tuple[str, int | None, str]], left_out: str
) -> None:
    result = run(folder, labels(*rows), Folder(tmp_path / "raw"))
    assert "a.JPG" in " ".join(result.left_out.examples[left_out])


def test_names_of_two_files_are_ambiguous_and_ids_of_two_files_taken_once(tmp_path: Path) -> None:
    for name in ("x/1.jpg", "y/1.jpg", "z.png", "z.jpg"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(saved(picture(), "PNG"))
    named = labels(("1.jpg", 1, ""), ("y/1.jpg", 2, ""), ("z.png", 1, ""), ("z.jpg", 1, ""))
    result = run(tmp_path / "in", named, Folder(tmp_path / "raw"))
    assert result.left_out.totals == {"label-of-several-photos": 1, "no-label": 1, "same-id-as-another": 1}
    assert result.imported == 2


@pytest.mark.parametrize(
    ("name", "image_id"),
    [
        ("00001.jpg", "00001"),
        ("1.jpg", "1"),
        ("IMG 0001 (2).JPG", "IMG-0001-2"),
        ("a/b/c.png", "a-b-c"),
        ("Fach_ü.jpg", "Fach_u"),
        ("Fach_u\u0308.jpg", "Fach_u"),
        ("_x.jpg", "x"),
        ("v1.2.jpg", "v1-2"),
    ],
)
def test_an_id_is_the_name_as_far_as_it_can_be(name: str, image_id: str) -> None:
    assert id_of(name) == image_id


@pytest.mark.parametrize("name", ["日本.jpg", "().jpg", "x" * 300 + ".jpg", "箱1.jpg", "-.jpg", "\udcff.jpg"])
def test_other_names_get_an_id_of_their_own(name: str) -> None:
    for prefix in ("", "p" * 40):
        assert is_usable_id(id_of(name, prefix))
    assert id_of(name) != id_of(f"other {name}")


@pytest.mark.parametrize("prefix", ["-a", "a/b", "ü", "_x", "x" * 41])
def test_a_prefix_that_ids_cannot_begin_with_is_refused(prefix: str) -> None:
    with pytest.raises(PipelineError, match="--prefix"):
        check_prefix(prefix)


def test_a_list_selects_real_bins_by_their_quantity(abid: Path, tmp_path: Path) -> None:
    path = tmp_path / "file_list.json"
    quantities = {
        sample.image_id: json.loads(sample.metadata)["EXPECTED_QUANTITY"]
        for sample in open_source(str(abid / "originals.tar"), limit=12)
    }
    lists: dict[str, list[str]] = {}
    for image_id, quantity in quantities.items():
        lists.setdefault(str(quantity), []).append(f"data/metadata/{image_id}.json")
    wrong, *_ = quantities
    lists = {quantity: [name for name in names if wrong not in name] for quantity, names in lists.items()}
    lists[str(quantities[wrong] + 1)] = [*lists.get(str(quantities[wrong] + 1), []), wrong, "no-such-id"]
    path.write_text(json.dumps(lists))
    result = Result()
    listed = work.quantities_of(read_list(path), result.left_out)
    source = open_source(str(abid / "originals.tar"), ids=listed)
    for outcome in work.carry_out(work.of_bins(source, listed, result.left_out), Folder(tmp_path / "raw")):
        result.add(outcome)
    assert result.imported == 11
    assert result.left_out.totals == {"another-quantity-in-the-list": 1, "label-without-photo": 1}
