"""Records by photo: tables as programs write them, metadata next to photos, and what is missing in both."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.operations.serving import records
from pipeline.operations.serving.predictions import Answer, NotCounted
from pipeline.operations.serving.records import Recorded
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError


def recorded(reading: records.Records, *photos: str) -> list[Recorded]:
    answers: list[Answer] = [NotCounted(photo, "") for photo in photos]
    pairs = list(reading.of(answers, lambda answer: answer.source))
    assert [answer for answer, _ in pairs] == answers
    return [record for _, record in pairs]


def quantities(reading: records.Records, *photos: str) -> list[int | None]:
    return [record.quantity for record in recorded(reading, *photos)]


def parquet(**columns: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


@pytest.fixture
def table(no_account: None, settings: Settings, tmp_path: Path) -> Any:
    """Reads the records of a file's content, named records.csv."""

    def read(content: str | bytes) -> records.Records:
        path = tmp_path / "records.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return records.read(settings, str(path), "a.jpg")

    return read


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("header", ["image_id,quantity", "Photo,Expected quantity", "name,image_id,quantity"])
def test_a_table_is_read_by_any_usual_separator_and_its_usual_columns(table: Any, mark: str, header: str) -> None:
    before = "x," if header.startswith("name") else ""
    text = f"{header}\n{before}00048,3\n{before}b.JPG,0\n".replace(",", mark)
    assert quantities(table(text), "photos/00048.jpg", "s3://bucket/b.jpg", "48.jpg") == [3, 0, None]


@pytest.mark.parametrize(
    "columns",
    [
        {"image_id": ["1", "2"], "quantity": [3, 0]},
        {"image_id": [1, 2], "quantity": [3.0, 0.0]},
        {"photo": ["1.jpg", "2.jpg"], "quantity": [Decimal("3.000"), Decimal("0.000")]},
        {"image_id": ["1", "2"], "quantity": ["3", "0"], "path": ["s3://b/1.json", "s3://b/2.json"]},
    ],
)
def test_a_parquet_file_is_read_whatever_its_type_of_number(table: Any, columns: Any) -> None:
    assert quantities(table(parquet(**columns)), "1.jpg", "2.jpeg") == [3, 0]


def test_a_table_in_s3_is_read(account: None, settings: Settings) -> None:
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="records-of-a-test")
    s3.put_object(Bucket="records-of-a-test", Key="a/b.csv", Body=b"image_id,quantity\n1,2\n")
    assert quantities(records.read(settings, "s3://records-of-a-test/a/b.csv", ""), "1.jpg") == [2]
    for uri, message in {
        "s3://records-of-a-test/no.csv": "there is no such object",
        "s3://nowhere-at-all/no.csv": "there is no such",
    }.items():
        with pytest.raises(PipelineError, match=f"--expected {uri}: {message}"):
            records.read(settings, uri, "")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image_id,quantity\na,1\n\nb,-1\n", "records.csv line 4: b: the quantity is not a whole number from 0 on"),
        ("image_id,quantity\na,1\nb,2.5\n", "records.csv line 3: b: the quantity is not a whole number"),
        ("image_id,quantity\na,\n", "records.csv line 2: a: the quantity is not a whole number"),
        ("image_id,quantity\n,1\n", "records.csv line 2: the photo is missing"),
        (
            "image_id,quantity\na,1\nb,2\na.jpg,2\n",
            "records.csv line 4: a.jpg has the quantity 2, but 1 in records.csv line 2; leave out the wrong row",
        ),
        ("image_id,bin\na,1\n", "the columns, separated by commas, are image_id, bin; it needs one of photo"),
        ("image_id,quantity\n", "no labels"),
        (parquet(image_id=["a", "b"], quantity=[1, None]), "records.csv row 2: b: the quantity is not a whole number"),
        (parquet(image_id=["a"], quantity=[True]), "records.csv row 1: a: the quantity is not a whole number"),
        (parquet(image_id=["a"], quantity=[float("nan")]), "records.csv row 1: a: the quantity is not"),
        (parquet(image_id=["a"], bin=[1]), "the columns are image_id, bin; it needs one of photo"),
        (b"PAR1 damaged", "not a Parquet file"),
    ],
)
def test_a_bad_row_is_an_error_that_names_its_line(table: Any, content: str | bytes, message: str) -> None:
    with pytest.raises(PipelineError) as caught:
        table(content)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rows_that_say_the_same_twice_are_a_record(table: Any) -> None:
    assert quantities(table("image_id,quantity\na,1\na.jpg,1\n"), "a.jpg") == [1]


def test_a_missing_file_is_named_with_the_word_for_metadata(settings: Settings, no_account: None) -> None:
    with pytest.raises(PipelineError, match=r"--expected no\.csv: cannot be read: No such file.*; 'metadata' means"):
        records.read(settings, "no.csv", "")


def test_a_record_with_folders_is_for_the_photos_below_them_and_wins(table: Any) -> None:
    reading = table("image_id,quantity\na,1\nshelf/a.jpg,2\ns3://bucket/shelf/b.jpg,3\nother/c,4\n")
    photos = ("x/a.jpg", "x/shelf/a.jpg", "s3://bucket/shelf/b.jpg", "s3://bucket/b.jpg", "myshelf/a.jpg", "x/c.jpg")
    assert quantities(reading, *photos) == [1, 2, 3, None, 1, None]
    # Two photos have the record of `a`.
    assert reading.shared.totals.total() == 1
    assert reading.shared.examples["shared-record"] == ["myshelf/a.jpg"]
    assert reading.without_photo().examples["no-photo"] == ["other/c"]


def test_names_are_compared_as_file_systems_compose_them(table: Any) -> None:
    assert quantities(table("image_id,quantity\ncaf\u00e9,1\n"), "cafe\u0301.jpg") == [1]


def test_a_local_path_of_a_record_is_that_of_the_photo(
    table: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert quantities(table(f"image_id,quantity\n{tmp_path}/a.jpg,1\n"), "a.jpg") == [1]


# ------------------------------------------------------------------------------------------------ metadata

DOCUMENTS = {
    "1": b'{"EXPECTED_QUANTITY": 3}',
    "2": b'{"expected_quantity": 2.0, "BIN_FCSKU_DATA": null}',
    "3": b'{"EXPECTED_QUANTITY": null}',
    "4": b'{"EXPECTED_QUANTITY": -1}',
    "5": b'{"EXPECTED_QUANTITY": 2.5}',
    "6": b"{",
    "7": b"{}",
    "8": b'{"EXPECTED_QUANTITY": "3"}',
}
WANTED = [
    Recorded(3),
    Recorded(2),
    Recorded(None, "null-quantity"),
    Recorded(None, "negative-quantity"),
    Recorded(None, "fractional-quantity"),
    Recorded(None, "malformed-metadata"),
    Recorded(None, "missing-quantity"),
    Recorded(None, "string-quantity"),
    Recorded(None, "image-without-metadata"),
]


def test_metadata_next_to_a_folder_of_photos_are_read(settings: Settings, no_account: None, tmp_path: Path) -> None:
    (tmp_path / "metadata").mkdir()
    for name, content in DOCUMENTS.items():
        (tmp_path / "metadata" / f"{name}.json").write_bytes(content)
    photos = [str(tmp_path / "bin-images" / f"{number}.jpg") for number in range(1, 10)]
    reading = records.read(settings, "metadata", photos[0])
    assert recorded(reading, *photos) == WANTED
    assert not reading.without_photo().totals


@pytest.mark.parametrize("prefix", ["", "raw/", "raw/deep/"])
def test_metadata_next_to_a_prefix_of_photos_are_read(account: None, settings: Settings, prefix: str) -> None:
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="photos-of-a-test")
    for name, content in DOCUMENTS.items():
        s3.put_object(Bucket="photos-of-a-test", Key=f"{prefix}metadata/{name}.json", Body=content)
    photos = [f"s3://photos-of-a-test/{prefix}bin-images/{number}.jpg" for number in range(1, 10)]
    assert recorded(records.read(settings, "metadata", photos[0]), *photos) == WANTED


def test_a_relative_path_leads_to_the_metadata_of_its_folder(
    settings: Settings, no_account: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin-images").mkdir()
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "1.json").write_text(json.dumps({"EXPECTED_QUANTITY": 4}))
    monkeypatch.chdir(tmp_path / "bin-images")
    assert quantities(records.read(settings, "metadata", "1.jpg"), "1.jpg") == [4]


def test_photos_without_metadata_next_to_them_are_noticed_before_they_are_counted(
    account: None, settings: Settings, tmp_path: Path
) -> None:
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="photos-of-a-test")
    for photo in (str(tmp_path / "photos" / "1.jpg"), "s3://photos-of-a-test/new/1.jpg"):
        with pytest.raises(PipelineError, match=r"there is no .*metadata/ next to the folder of .*1\.jpg; name a CSV"):
            records.read(settings, "metadata", photo)
