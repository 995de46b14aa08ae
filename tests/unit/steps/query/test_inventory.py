"""Two sorted listings merged into one inventory, in bounded memory."""

from __future__ import annotations

import socket
import tracemalloc
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.s3.models import s3_backends

from steps.contracts.errors import StepError
from steps.contracts.photo_files import LeftOut, document_id, is_usable_id
from steps.contracts.s3_uri import S3Uri
from steps.query import inventory, listing
from steps.query.inventory import Row, list_inventory, merge, write
from steps.query.listing import Entry, list_files

IDS = st.sets(st.text("aZ09-_.é😀", max_size=4), max_size=30)


def listed(ids: Iterable[str], suffix: str) -> list[Entry]:
    """A listing in S3's order: sorted by the keys' UTF-8 bytes."""
    return [
        Entry(name, f"{name}{suffix}", f"etag-{name}", 7)
        for name in sorted(ids, key=lambda name: f"{name}{suffix}".encode())
    ]


@given(IDS, IDS)
def test_every_id_comes_once_with_where_it_occurs(images: set[str], metadata: set[str]) -> None:
    rows = list(merge(listed(images, ".jpg"), listed(metadata, ".json")))
    assert sorted(row.image_id for row in rows) == sorted(images | metadata)
    for row in rows:
        assert (row.has_image, row.has_metadata) == (row.image_id in images, row.image_id in metadata)
        assert row.usable_id == is_usable_id(row.image_id)
        photo = (f"{row.image_id}.jpg", f"etag-{row.image_id}", 7)
        is_named = row.has_image and row.usable_id
        assert (row.image_name, row.image_etag, row.image_bytes) == (photo if is_named else (None, None, None))


def test_ids_with_a_hyphen_stand_where_s3_lists_them() -> None:
    both = listed(["1", "1-1", "10"], ".jpg")
    assert [row.image_id for row in merge(both, listed(["1", "10", "2"], ".json"))] == ["1-1", "1", "10", "2"]


@pytest.mark.parametrize("ids", [["2", "1"], ["1", "1"]])
def test_a_listing_out_of_order_is_refused(ids: list[str]) -> None:
    entries = [Entry(image_id, f"{image_id}.json", "e", 1) for image_id in ids]
    with pytest.raises(StepError, match=f"the listing of metadata/ contains '{ids[1]}' after '{ids[0]}'"):
        list(merge([], entries))


@pytest.mark.parametrize(
    "template", ["IMG.{:06d}", "an id {:06d}", "_{:06d}", "{:096d}x", "\x01{:06d}", "\u202e{:06d}"]
)
def test_any_number_of_unusable_ids_is_counted(template: str) -> None:
    """The kind: files of others, in any number, that end a run instead of being counted."""
    names = [template.format(number) for number in range(30_000)]
    rows = list(merge(listed(["1", *names], ".jpg"), listed(["1", *names[:20_000], "2"], ".json")))
    unusable = [row for row in rows if not row.usable_id]
    assert [row.image_id for row in rows if row.usable_id] == ["1", "2"]
    assert len(unusable) == 30_000
    assert sum(row.has_metadata for row in unusable) == 20_000


def test_photos_that_share_an_id_are_one_row_without_a_name() -> None:
    names = ["1.JPG", "1.jpg", "2.jpeg"]
    rows = list(merge([Entry(name[0], name, f"etag-{name}", 7) for name in names], listed(["1", "2"], ".json")))
    assert rows == [
        Row("1", True, True, None, True, None, None),
        Row("2", True, True, "2.jpeg", True, "etag-2.jpeg", 7),
    ]


def test_memory_is_that_of_one_row_group_however_many_ids_there_are(tmp_path: Path) -> None:
    count = 200_000

    def entries(start: int) -> Iterator[Entry]:
        ids = (f"{number:06d}" for number in range(start, count + start))
        return (Entry(image_id, f"{image_id}.jpg", f"{image_id:>032}", 60_000) for image_id in ids)

    tracemalloc.start()
    try:
        made = write(merge(entries(0), entries(1)), tmp_path / "inventory.parquet", LeftOut(0))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        ids = sum(1 for _ in made.metadata_ids())
        _, read_peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (made.images, made.metadata, ids) == (count, count, count)
    # One row group of Python objects; all of them would be a hundred megabytes.
    assert peak < 12e6
    assert read_peak < 6e6
    file = pq.ParquetFile(made.path)
    assert file.metadata.num_rows == count + 1
    assert file.metadata.num_row_groups == -(-(count + 1) // inventory.ROWS_PER_GROUP)


def test_rows_survive_the_file(tmp_path: Path) -> None:
    rows = [
        Row("1", True, False, "1.jpg", True, "e", 3),
        Row("2", False, True, None, True, None, None),
        Row("3", True, True, "3.JPG", True, "f", 4),
        Row("4.5", True, True, None, False, None, None),
    ]
    made = write(rows, tmp_path / "inventory.parquet", LeftOut(0))
    assert pq.read_table(made.path).to_pylist() == [row._asdict() for row in rows]
    assert list(made.metadata_ids()) == ["2", "3"]


def test_a_listing_comes_a_page_at_a_time(s3: Any, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PAGE", 2)
    names = ["1-1.json", "1.json", "10.json", "2.json", "2.txt", "deeper/3.json", "é 5%20.json"]
    for name in names:
        s3.put_object(Bucket=bucket, Key=f"raw/metadata/{name}", Body=b"{}")
    s3.put_object(Bucket=bucket, Key="raw/metadata/", Body=b"")
    s3.put_object(Bucket=bucket, Key="raw/metadata-of-another/4.json", Body=b"{}")
    etag = s3.head_object(Bucket=bucket, Key="raw/metadata/1.json")["ETag"].strip('"')
    left_out = LeftOut(3)
    assert list(list_files(S3Uri(bucket, "raw/metadata"), document_id, left_out)) == [
        Entry(image_id, f"{image_id}.json", etag, 2) for image_id in ("1-1", "1", "10", "2", "é 5%20")
    ]
    assert left_out.sentence() == "1 in-a-folder-below (metadata/deeper/3.json); 1 other-file (metadata/2.txt)"


@pytest.fixture(scope="module")
def keeper() -> Iterator[str]:
    """The URL of an S3 server that stores every key as AWS does; the local cloud's merges empty segments."""
    from moto.server import ThreadedMotoServer

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop()


def test_keys_that_others_have_are_counted_by_reason(
    keeper: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kind: a key that S3 stores and a client cannot express, in a bucket that is not ours."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", keeper)
    bucket = f"others-{uuid.uuid4().hex[:12]}"
    s3 = boto3.client("s3", endpoint_url=keeper, region_name="us-east-1")
    s3.create_bucket(Bucket=bucket)
    odd = [
        "metadata//9.json",
        "metadata/./9.json",
        "metadata/../9.json",
        "metadata/a//b.json",
        "metadata/con\x01trol.json",
        "metadata/line\nfeed.json",
        "metadata/ leading blank.json",
        "metadata/100%25+&.json",
        "metadata/\N{RIGHT-TO-LEFT OVERRIDE}gpj.json",
        "bin-images//8.jpg",
        "bin-images/tab\t.jpg",
        "bin-images/\x7f.jpg",
        "bin-images/7.PNG",
        "bin-images/._1.jpg",
        "bin-images/.DS_Store",
        "bin-images/sub/",
    ]
    for key in ("bin-images/", "bin-images/1.JPG", "metadata/1.json", *odd):
        # Not over HTTP, as the server's framework resolves some of these paths.
        s3_backends["123456789012"]["aws"].put_object(bucket, f"raw/{key}", b"{}")
    made = list_inventory(S3Uri(bucket, "raw"), tmp_path)
    rows = pq.read_table(made.path).to_pylist()
    assert [row["image_name"] for row in rows if row["usable_id"]] == ["1.JPG"]
    assert list(made.metadata_ids()) == ["1"]
    unusable = [row["image_id"] for row in rows if not row["usable_id"]]
    assert len(unusable) == 7
    assert {r"con\x01trol", r"line\nfeed", r"tab\t", r"\x7f"} <= set(unusable)
    assert made.left_out.totals == {"in-a-folder-below": 5, "hidden-file": 2, "other-format": 1}
    assert "bin-images/7.PNG" in made.left_out.examples["other-format"]


def test_a_folder_of_other_formats_is_refused_with_them(s3: Any, bucket: str, tmp_path: Path) -> None:
    for key in ("bin-images/1.png", "bin-images/2.HEIC", "metadata/2.json"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"{}")
    with pytest.raises(StepError, match=r"no bin-images/\*\.jpg .*; left out: 2 other-format \(bin-images/1\.png, "):
        list_inventory(S3Uri(bucket, ""), tmp_path)


def test_both_folders_of_a_location_are_taken(s3: Any, bucket: str, tmp_path: Path) -> None:
    for key in ("bin-images/1.jpg", "bin-images/2.jpg", "metadata/2.json", "metadata/3.json"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"{}")
    made = list_inventory(S3Uri(bucket, ""), tmp_path)
    assert (made.images, made.metadata) == (2, 2)
    occurs = pq.read_table(made.path, columns=["image_id", "has_image", "has_metadata"]).to_pylist()
    assert [tuple(row.values()) for row in occurs] == [("1", True, False), ("2", True, True), ("3", False, True)]
