"""Two sorted listings merged into one inventory, in bounded memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.query import inventory, listing
from steps.query.inventory import Row, list_inventory, merge, write
from steps.query.listing import Entry, list_files

IDS = st.sets(st.text("aZ09-_.é😀", max_size=4), max_size=30)


def listed(ids: Iterable[str], suffix: str) -> list[Entry]:
    """A listing in S3's order: sorted by the keys' UTF-8 bytes."""
    return [Entry(name, f"etag-{name}", 7) for name in sorted(ids, key=lambda name: f"{name}{suffix}".encode())]


@given(IDS, IDS)
def test_every_id_comes_once_with_where_it_occurs(images: set[str], metadata: set[str]) -> None:
    rows = list(merge(listed(images, ".jpg"), listed(metadata, ".json")))
    assert sorted(row.image_id for row in rows) == sorted(images | metadata)
    for row in rows:
        assert (row.has_image, row.has_metadata) == (row.image_id in images, row.image_id in metadata)
        assert (row.image_etag, row.image_bytes) == ((f"etag-{row.image_id}", 7) if row.has_image else (None, None))


def test_ids_with_a_hyphen_stand_where_s3_lists_them() -> None:
    both = listed(["1", "1-1", "10"], ".jpg")
    assert [row.image_id for row in merge(both, listed(["1", "10", "2"], ".json"))] == ["1-1", "1", "10", "2"]


@pytest.mark.parametrize("ids", [["2", "1"], ["1", "1"]])
def test_a_listing_out_of_order_is_refused(ids: list[str]) -> None:
    entries = [Entry(image_id, "e", 1) for image_id in ids]
    with pytest.raises(StepError, match=f"the listing of metadata/ contains '{ids[1]}' after '{ids[0]}'"):
        list(merge([], entries))


def test_too_many_ids_with_a_dot_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "MOST_WITH_A_DOT", 2)
    with pytest.raises(StepError, match=r"more than 2 files have a dot in their id, such as 'a\.3'"):
        list(merge(listed(["a.1", "a.2", "a.3"], ".jpg"), []))


def test_memory_is_that_of_one_row_group_however_many_ids_there_are(tmp_path: Path) -> None:
    count = 200_000

    def entries(start: int) -> Iterator[Entry]:
        return (Entry(f"{number:06d}", f"{number:032x}", 60_000) for number in range(start, count + start))

    tracemalloc.start()
    try:
        made = write(merge(entries(0), entries(1)), tmp_path / "inventory.parquet")
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
    rows = [Row("1", True, False, "e", 3), Row("2", False, True, None, None), Row("3", True, True, "f", 4)]
    made = write(rows, tmp_path / "inventory.parquet")
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
    assert list(list_files(S3Uri(bucket, "raw/metadata"), ".json")) == [
        Entry(image_id, etag, 2) for image_id in ("1-1", "1", "10", "2", "é 5%20")
    ]


def test_both_folders_of_a_location_are_taken(s3: Any, bucket: str, tmp_path: Path) -> None:
    for key in ("bin-images/1.jpg", "bin-images/2.jpg", "metadata/2.json", "metadata/3.json"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"{}")
    made = list_inventory(S3Uri(bucket, ""), tmp_path)
    assert (made.images, made.metadata) == (2, 2)
    occurs = pq.read_table(made.path, columns=["image_id", "has_image", "has_metadata"]).to_pylist()
    assert [tuple(row.values()) for row in occurs] == [("1", True, False), ("2", True, True), ("3", False, True)]
