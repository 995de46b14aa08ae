"""The command import: what it shows, writes and exits with."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.unit.pipeline.conftest import Call
from tests.unit.pipeline.operations.importing.test_pictures import picture, saved


@pytest.fixture
def photos(project: Path) -> Path:
    folder = project / "photos"
    folder.mkdir()
    for name, kind in (("a.JPG", "JPEG"), ("b.png", "PNG"), ("c.heic", "HEIF"), ("d.gif", "GIF")):
        (folder / name).write_bytes(saved(picture(), kind))
    (folder / "labels.csv").write_text("photo;count;bin\na.JPG;1;x\nb;2;x\nc;2;y\n")
    return folder


def test_an_import_is_counted_by_quantity_and_by_reason(call: Call, photos: Path, project: Path) -> None:
    outcome = call("import", "photos", "raw", "--labels", "photos/labels.csv", "--group", "bin")
    assert outcome.code == 0
    assert "imported           3 photos" in outcome.out
    assert "converted to JPEG  1 HEIF, 1 PNG" in outcome.out
    assert outcome.out.splitlines()[-1].split() == ["other-format", "1", "d.gif"]
    assert outcome.error == "next: python -m pipeline demo --bins raw, or a copy of it in S3\n"
    assert sorted(path.name for path in (project / "raw/bin-images").iterdir()) == ["a.jpg", "b.jpg", "c.jpg"]
    again = json.loads(call("import", "photos", "raw", "--labels", "photos/labels.csv", "--group", "bin", "--json").out)
    assert (again["imported"], again["unchanged"]) == (0, 3)
    assert again["left_out"] == {"other-format": {"files": 1, "examples": ["d.gif"]}}


def test_the_next_command_is_that_of_this_shell(call: Call, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["pipeline.cli.app"], "_started", ["env/bin/python", "-m", "pipeline"])
    outcome = call("import", "photos", "raw", "--labels", "photos/labels.csv", "--group", "bin")
    assert outcome.error == "next: env/bin/python -m pipeline demo --bins raw, or a copy of it in S3\n"


def test_a_destination_that_no_run_can_read_is_refused_before_anything_is_written(call: Call, photos: Path) -> None:
    outcome = call("import", "photos", "s3://raw-photos/my photos", "--labels", "photos/labels.csv")
    assert outcome.code == 1
    assert outcome.error.startswith("'s3://raw-photos/my photos' contains ' '; Athena and the registry accept")


def test_a_dry_run_writes_nothing_and_a_missing_group_is_reported(call: Call, photos: Path, project: Path) -> None:
    outcome = call("import", "photos", "raw", "--labels", "photos/labels.csv", "--dry-run")
    assert outcome.code == 0
    assert "to import" in outcome.out
    assert outcome.error.startswith("without --group nobody knows which photos show the same bin")
    assert not (project / "raw").exists()


def test_a_list_labels_photos_without_metadata(call: Call, photos: Path, project: Path) -> None:
    (project / "file_list.json").write_text('{"3": ["data/metadata/a.json"]}')
    outcome = call("import", "photos", "raw", "--list", "file_list.json")
    assert outcome.code == 0
    assert json.loads((project / "raw/metadata/a.json").read_text())["EXPECTED_QUANTITY"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photos", "raw"], "photos without metadata need --labels FILE or --list FILE"),
        (["photos", "raw", "--labels", "photos/labels.csv", "--list", "photos/labels.csv"], "leave one of them out"),
        (["photos", "raw", "--group", "bin"], "--group is a column of the file of --labels"),
        (["absent", "raw", "--labels", "photos/labels.csv"], "absent: no such folder"),
        (["photos", "photos", "--labels", "photos/labels.csv"], "photos: is the folder of the photos"),
        (["photos", "raw", "--labels", "photos/labels.csv", "--group", "shelf"], "no column 'shelf' for --group"),
        (["photos", "raw", "--labels", "photos/labels.csv", "--prefix", "a/"], "--prefix 'a/': use at most 40"),
    ],
)
def test_what_contradicts_is_refused_before_anything_is_written(
    call: Call, photos: Path, project: Path, arguments: list[str], message: str
) -> None:
    outcome = call("import", *arguments)
    assert outcome.code != 0
    assert message in " ".join(outcome.error.replace("│", " ").split())
    assert not (project / "raw").exists()


def test_an_import_of_nothing_fails(call: Call, photos: Path) -> None:
    (photos / "labels.csv").write_text("photo,count\nz.jpg,1\n")
    outcome = call("import", "photos", "raw", "--labels", "photos/labels.csv")
    assert outcome.code == 1
    assert "label-without-photo" in outcome.out
