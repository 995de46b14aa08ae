"""Labels at a place that is named by their content."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steps.contracts.errors import StepError
from steps.contracts.labels import SCHEMA, read_labels
from steps.contracts.s3_uri import S3Uri
from steps.query import labels

RAW = S3Uri("raw", "photos")


def row(number: int, **changes: Any) -> dict[str, Any]:
    image_id = f"{number:05d}"
    values = (image_id, number % 4, [f"B{number}", "C"], f"bin-images/{image_id}.jpg", f"etag-{number}", 1_000, None)
    return {**dict(zip(SCHEMA.names, values, strict=True)), **changes}


class Labels:
    """Files as Athena leaves them, and where they are published."""

    def __init__(self, s3: Any, bucket: str, scratch: Path) -> None:
        self.s3, self.bucket, self.scratch, self.runs = s3, bucket, scratch, 0

    def publish(self, *files: list[dict[str, Any]], location: S3Uri = RAW, schema: pa.Schema = SCHEMA) -> str:
        self.runs += 1
        for number, rows in enumerate(files):
            buffer = io.BytesIO()
            pq.write_table(pa.Table.from_pylist(rows, schema), buffer)
            key = f"staged/{self.runs}/2026_{(number * 7 + self.runs) % 10}_{self.runs}"
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=buffer.getvalue())
        folder = self.scratch / f"{self.runs}"
        folder.mkdir()
        staged, target = S3Uri(self.bucket, f"staged/{self.runs}"), S3Uri(self.bucket, "labels")
        return str(labels.publish(staged, target, location, folder))

    def files(self, place: str) -> dict[str, bytes]:
        prefix = place.removeprefix(f"s3://{self.bucket}/")
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=f"{prefix}/")["Contents"]
        return {
            entry["Key"]: self.s3.get_object(Bucket=self.bucket, Key=entry["Key"])["Body"].read() for entry in listed
        }


@pytest.fixture
def published(s3: Any, bucket: str, tmp_path: Path) -> Labels:
    return Labels(s3, bucket, tmp_path)


def test_the_same_rows_have_the_same_place_in_whatever_order_they_come(published: Labels) -> None:
    rows = [row(number) for number in range(40)]
    first = published.publish(rows[:25], rows[25:])
    files = published.files(first)

    assert published.publish(rows[:25][::-1], rows[25:][::-1]) == first
    assert published.publish(rows[25:], rows[:25]) == first
    assert published.files(first).keys() == files.keys()
    assert len(files) == 2


def test_the_same_files_give_the_same_bytes(published: Labels) -> None:
    rows = [row(number) for number in range(40)]
    place = published.publish(rows)
    files = published.files(place)

    assert published.publish(rows[::-1]) == place
    assert published.files(place) == files


@pytest.mark.parametrize(
    "change",
    [
        {"quantity": 5},
        {"asins": ["B7"]},
        {"asins": []},
        {"image_id": "7"},
        {"image_key": "other/7.jpg"},
        {"image_etag": "replaced"},
        {"image_bytes": 1_001},
    ],
)
def test_any_change_of_a_row_is_another_place(published: Labels, change: dict[str, Any]) -> None:
    rows = [row(number) for number in range(20)]
    places = {published.publish(rows), published.publish([*rows[:7], row(7, **change), *rows[8:]])}
    assert len(places) == 2


def test_fewer_rows_one_twice_or_photos_elsewhere_are_another_place(published: Labels) -> None:
    rows = [row(number) for number in range(20)]
    places = [
        published.publish(rows),
        published.publish(rows[1:]),
        published.publish([*rows, rows[3]]),
        published.publish(rows, location=S3Uri("raw", "other")),
        # In another number of files: a reader must never see the rows of both.
        published.publish(rows[:10], rows[10:]),
    ]
    assert len(set(places)) == len(places)


def test_what_is_published_follows_the_contract(published: Labels, tmp_path: Path) -> None:
    rows = [row(number) for number in range(30)]
    place = published.publish(rows[20:], rows[:20])
    folder = tmp_path / "read"
    folder.mkdir()
    for key, content in published.files(place).items():
        (folder / key.rsplit("/", 1)[1]).write_bytes(content)
    assert read_labels(folder).to_pylist() == rows


def test_what_a_broken_off_job_left_is_replaced(published: Labels, s3: Any) -> None:
    rows = [row(number) for number in range(30)]
    place = published.publish(rows[:10], rows[10:])
    files = published.files(place)
    for key in files:
        s3.put_object(Bucket=published.bucket, Key=key, Body=b"half")

    assert published.publish(rows[:10], rows[10:]) == place
    assert published.files(place).keys() == files.keys()
    tables = [pq.read_table(io.BytesIO(content)) for content in published.files(place).values()]
    assert sum(map(len, tables)) == 30


def test_files_that_are_no_labels_are_named(published: Labels) -> None:
    schema = pa.schema([("image_id", pa.string()), ("quantity", pa.int32())])
    with pytest.raises(StepError, match=rf"^s3://{published.bucket}/staged/1/2026_1_1: labels do not have the columns"):
        published.publish([{"image_id": "1", "quantity": 2}], schema=schema)


def test_a_file_that_is_damaged_is_named(published: Labels, s3: Any, tmp_path: Path) -> None:
    s3.put_object(Bucket=published.bucket, Key="staged/9/a", Body=b"PAR1 and no more")
    staged, target = S3Uri(published.bucket, "staged/9"), S3Uri(published.bucket, "labels")
    with pytest.raises(StepError, match=rf"^s3://{published.bucket}/staged/9/a: labels do not have the columns"):
        labels.publish(staged, target, RAW, tmp_path)


def test_a_bucket_that_is_not_there_is_named(s3: Any, bucket: str, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row(1)], SCHEMA), buffer)
    s3.put_object(Bucket=bucket, Key="staged/a", Body=buffer.getvalue())
    with pytest.raises(StepError, match=r"^writing s3://no-such-bucket/labels/[0-9a-f]{32}/part-00000-of-00001"):
        labels.publish(S3Uri(bucket, "staged"), S3Uri("no-such-bucket", "labels"), RAW, tmp_path)
