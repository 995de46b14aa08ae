"""Labels as spreadsheets, programs and courses write them.

The kind: a table that every other program reads, refused for its encoding, its separator or its types.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.operations.importing.labels import Label, parse_csv, read_csv, read_list
from steps.contracts.errors import PipelineError

ROWS = [("a.jpg", "3"), ("b.jpg", "0")]


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_labels_are_read_in_any_usual_encoding_and_by_any_usual_separator(
    tmp_path: Path, mark: str, encoding: str, end: str
) -> None:
    path = tmp_path / "labels.csv"
    lines = [f"Photo{mark}Quantity", *(mark.join(row) for row in ROWS), ""]
    path.write_bytes(end.join(lines).encode(encoding))
    assert [(label.photo, label.quantity) for label in read_csv(path)] == [("a.jpg", 3), ("b.jpg", 0)]


@pytest.mark.parametrize(("text", "quantity"), [("3", 3), ("3.0", 3), ("+3", 3), ("3,", 3), (" 3 ", 3), ("0", 0)])
def test_a_whole_number_is_a_quantity(tmp_path: Path, text: str, quantity: int) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(f"image;count;shelf\na;{text};x\n")
    assert read_csv(path, "shelf") == [Label("a", quantity, "x", "labels.csv line 2")]


@pytest.mark.parametrize("text", ["", "n/a", "-1", "2.5", "three", "1e3", "1,000", "1.000", "9" * 30])
def test_anything_else_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(f'image,count\na,"{text}"\n')
    assert read_csv(path)[0].quantity is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("photo;bin\na;1\n", r"the columns, separated by semicolons, are photo, bin; it needs one of photo, image"),
        ("photo,file,count\na,b,1\n", "the columns photo, file can all be the photo; rename all but one of them"),
        ("photo,count,quantity\na,1,1\n", "the columns count, quantity can all be the quantity"),
        ("photo,count\n", "no labels"),
        ("x" * 200_000, "line 1: field larger than field limit .*; it needs one of photo"),
        ("", "the columns, separated by commas, are missing"),
    ],
)
def test_a_table_without_clear_columns_is_refused_with_its_own_columns(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(content)
    with pytest.raises(PipelineError, match=message) as caught:
        read_csv(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_group_that_is_no_column_and_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("photo,count\na,1\n")
    with pytest.raises(PipelineError, match="no column 'Bin' for --group; the columns are photo, count"):
        read_csv(path, "Bin")
    path.write_bytes("photo,count\nü,1\n".encode("latin-1"))
    with pytest.raises(PipelineError, match="byte 12 is neither UTF-8 nor UTF-16; save it as CSV in UTF-8"):
        read_csv(path)
    with pytest.raises(PipelineError, match="cannot be read: No such file"):
        read_csv(tmp_path / "absent.csv")


def test_preferred_columns_win_where_others_could_be_them_too() -> None:
    content = b"path,image_id,count,quantity\nx/a.json,a,1,2\n"
    [label] = parse_csv(content, "labels.csv", preferred=("image_id", "quantity"))
    assert (label.photo, label.quantity) == ("a", 2)
    with pytest.raises(PipelineError, match="the columns path, image_id can all be the photo"):
        parse_csv(content, "labels.csv")


def test_a_list_maps_quantities_to_ids_names_or_paths(tmp_path: Path) -> None:
    path = tmp_path / "file_list.json"
    path.write_text(json.dumps({"1": ["00048", "data/metadata/00102.json"], "2": [105, "train\\00106.jpg"]}))
    labels = [(label.photo, label.quantity) for label in read_list(path)]
    assert labels == [("00048", 1), ("00102", 1), ("105", 2), ("00106", 2)]


@pytest.mark.parametrize("text", ["[]", "{}", '{"one": ["1"]}', '{"1": "00048"}', '{"1": [true]}', '{"1": [[]]}', "no"])
def test_a_list_of_another_form_is_refused_with_the_form(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file_list.json"
    path.write_text(text)
    with pytest.raises(PipelineError, match=r"a list maps quantities to ids|not JSON"):
        read_list(path)
