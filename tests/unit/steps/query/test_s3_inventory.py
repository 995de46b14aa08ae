"""The raw location by a list of S3 Inventory: the same ids as by listing it, and refusals with a remedy."""

from __future__ import annotations

import hashlib
import json
import logging
import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.query import s3_inventory
from steps.query.inventory import list_inventory
from steps.query.s3_inventory import S3Inventory
from tests.unit.steps.query.conftest import Job, bin_metadata, refused
from tests.unit.steps.query.inventories import BEGUN, FIELDS, Destination, row


@pytest.fixture
def lists(s3: Any, bucket: str) -> Iterator[Destination]:
    """Lists of the bucket `bucket`, in a bucket of their own."""
    name = f"lists-{uuid.uuid4().hex[:20]}"
    s3.create_bucket(Bucket=name)
    yield Destination(s3, name, bucket)
    s3.delete_bucket(Bucket=name)


def found(lists: Destination) -> S3Inventory:
    return S3Inventory(S3Uri.parse(lists.uri), lists.source)


def rows_of(lists: Destination, tmp_path: Path, location: str = "raw") -> list[dict[str, Any]]:
    made = list_inventory(S3Uri(lists.source, location), tmp_path, found(lists))
    return list(pq.read_table(made.path).to_pylist())


NAMES = (
    *(f"bin-images/{number}.jpg" for number in range(1200)),
    *(f"metadata/{number}.json" for number in range(100, 1300)),
    "bin-images/1-1.jpg",
    "bin-images/7.JPG",
    "bin-images/é 5%20+.jpg",
    "metadata/é 5%20+.json",
    "bin-images/x.png",
    "bin-images/deeper/1.jpg",
    "metadata/.hidden.json",
    "metadata-of-another/4.json",
)


def test_a_list_in_any_order_gives_what_a_listing_gives(lists: Destination, s3: Any, tmp_path: Path) -> None:
    for name in NAMES[::7] + NAMES[-8:]:
        s3.put_object(Bucket=lists.source, Key=f"raw/{name}", Body=name.encode())
    rows = lists.rows()
    random.Random(1).shuffle(rows)
    lists.write(rows, datetime.now(UTC), files=3)
    listed = list_inventory(S3Uri(lists.source, "raw"), tmp_path)
    expected = pq.read_table(listed.path).to_pylist()
    (tmp_path / "by-list").mkdir()
    assert rows_of(lists, tmp_path / "by-list") == expected
    made = list_inventory(S3Uri(lists.source, "raw"), tmp_path, found(lists))
    assert (made.images, made.metadata) == (listed.images, listed.metadata)
    assert made.left_out.totals == listed.left_out.totals
    # What was fetched and spilled is gone: the disk holds one copy of the keys.
    assert not [path for path in tmp_path.rglob("*.parquet") if path.name.startswith(("part-", "copy"))]


def test_more_keys_than_memory_are_sorted_on_disk(
    lists: Destination, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = list(range(400_000))
    random.Random(1).shuffle(numbers)
    lists.write([row(f"raw/metadata/{number:080d}.json", etag=f"{number:032d}") for number in numbers], files=4)
    monkeypatch.setattr(s3_inventory, "MEMORY", "50MB")
    monkeypatch.setattr(s3_inventory, "THREADS", 1)
    inventory = found(lists)
    folder = S3Uri(lists.source, "raw/metadata")
    inventory.sort([folder], tmp_path)
    keys = [entry.key for page in inventory.pages(folder, tmp_path) for entry in page]
    assert keys == [f"raw/metadata/{number:080d}.json" for number in range(400_000)]


def test_of_a_list_of_versions_the_current_objects_are_taken(lists: Destination, tmp_path: Path) -> None:
    def version(key: str, etag: str, *, latest: bool = True, deleted: bool = False) -> dict[str, Any]:
        return row(f"raw/{key}", None if deleted else 3, etag, is_latest=latest, is_delete_marker=deleted)

    rows = [
        version("bin-images/1.jpg", "new"),
        version("bin-images/1.jpg", "old", latest=False),
        version("bin-images/2.jpg", "deleted", latest=False),
        version("bin-images/2.jpg", "", deleted=True),
        version("metadata/1.json", "m"),
    ]
    lists.write(rows, fields=FIELDS)
    (only,) = rows_of(lists, tmp_path)
    assert (only["image_id"], only["image_etag"], only["has_metadata"]) == ("1", "new", True)


def test_the_newest_complete_list_is_taken(lists: Destination, tmp_path: Path) -> None:
    both = [row("raw/bin-images/1.jpg"), row("raw/metadata/1.json")]
    lists.write(both, BEGUN - timedelta(days=2))
    lists.write([*both, row("raw/bin-images/2.jpg")], BEGUN - timedelta(days=1))
    lists.write([], BEGUN, checksum=False)
    inventory = found(lists)
    assert inventory.manifest.begun == BEGUN - timedelta(days=1)
    assert [each["image_id"] for each in rows_of(lists, tmp_path)] == ["1", "2"]


def test_the_age_of_a_list_is_logged_and_an_old_one_is_a_warning(
    lists: Destination, caplog: pytest.LogCaptureFixture
) -> None:
    lists.write([row("raw/bin-images/1.jpg")])
    caplog.set_level(logging.INFO)
    read = found(lists).listed_by(BEGUN + timedelta(hours=30))
    assert read.age_seconds == 30 * 3600
    assert (
        "S3 Inventory of 2026-11-28 01:00 UTC, 30 hours old when it was read; photos that are newer are not"
        in caplog.text
    )
    assert "no newer list" not in caplog.text
    found(lists).listed_by(BEGUN + timedelta(days=12, hours=1))
    assert "no newer list has come for 12 days: is its configuration enabled?" in caplog.text


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"fileFormat": "CSV"}, "its files are CSV, which is not read; set the output format .* to Parquet"),
        ({"fileFormat": "ORC"}, "its files are ORC, which is not read"),
        ({"sourceBucket": "others"}, "lists the bucket others, and the photos are in test-"),
        ({"fields": ("bucket", "key", "last_modified_date")}, "lack Size, ETag; add them to the configuration's"),
        ({"destinationBucket": "arn:aws:s3:::moved"}, "its files are in moved; set data.inventory to the folder there"),
        ({"checksum": False}, "is not complete: there is no manifest.checksum; nor is another one of the last 1 list"),
    ],
)
def test_a_list_that_does_not_fit_is_refused(lists: Destination, written: dict[str, Any], message: str) -> None:
    lists.write([row("raw/bin-images/1.jpg")], **written)
    with pytest.raises(StepError, match=message) as raised:
        found(lists)
    assert "\n" not in str(raised.value)
    assert f"s3://{lists.bucket}/lists/" in str(raised.value)


def test_a_manifest_without_files_is_no_manifest(lists: Destination) -> None:
    _replace(lists, lists.write([row("raw/bin-images/1.jpg")]), files=None)
    with pytest.raises(StepError, match=r"manifest.json: not a manifest of S3 Inventory: files: Field required"):
        found(lists)


def test_a_manifest_that_was_changed_is_not_read(lists: Destination) -> None:
    key = lists.write([row("raw/bin-images/1.jpg")])
    lists.put(key, b"{}")
    with pytest.raises(StepError, match=r"manifest.json does not have the MD5 that its manifest.checksum has"):
        found(lists)


def test_a_folder_without_lists_is_refused_with_what_it_should_be(lists: Destination) -> None:
    with pytest.raises(StepError, match=r"has no list of S3 Inventory; set data.inventory to the folder of its config"):
        found(lists)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"replaced", r"data/2801-0.parquet does not have the MD5 of the manifest, [0-9a-f]{32}: it was replaced"),
        (None, r"data/2801-0.parquet: reading it failed"),
    ],
)
def test_a_file_that_is_damaged_or_gone_is_named(
    lists: Destination, tmp_path: Path, body: bytes | None, message: str
) -> None:
    lists.write([row("raw/bin-images/1.jpg")], files=1)
    key = f"{lists.folder}/data/2801-0.parquet"
    if body is None:
        lists.s3.delete_object(Bucket=lists.bucket, Key=key)
    else:
        lists.put(key, body)
    with pytest.raises(StepError, match=message):
        rows_of(lists, tmp_path)


def test_a_file_that_is_no_parquet_is_named(lists: Destination, tmp_path: Path) -> None:
    key = f"{lists.folder}/data/0.parquet"
    lists.put(key, b"no Parquet")
    digest = hashlib.md5(b"no Parquet").hexdigest()
    _replace(lists, lists.write([row("raw/bin-images/1.jpg")]), files=[{"key": key, "size": 10, "MD5checksum": digest}])
    with pytest.raises(StepError, match=r"data/0.parquet cannot be read as a file of S3 Inventory: "):
        rows_of(lists, tmp_path)


def _replace(lists: Destination, manifest: str, **members: Any) -> None:
    """Write the manifest again with these members, None for one that is left out, and its checksum."""
    content = json.loads(lists.s3.get_object(Bucket=lists.bucket, Key=manifest)["Body"].read()) | members
    body = json.dumps({name: value for name, value in content.items() if value is not None}).encode()
    lists.put(manifest, body)
    lists.put(manifest.replace(".json", ".checksum"), hashlib.md5(body).hexdigest().encode())


@pytest.mark.parametrize("kept", ["1", "2", ""])
def test_a_filter_that_leaves_photos_out_is_noticed(lists: Destination, s3: Any, tmp_path: Path, kept: str) -> None:
    """The manifest does not name the filter of its configuration, a prefix."""
    for name in ("bin-images/1.jpg", "bin-images/2.jpg", "metadata/1.json", "metadata/2.json"):
        s3.put_object(Bucket=lists.source, Key=f"raw/{name}", Body=b"x")
    rows = [each for each in lists.rows() if each["key"].startswith(f"raw/bin-images/{kept or '-'}")]
    later = datetime.now(UTC) + timedelta(days=3)
    lists.write([*rows, row("raw/metadata/1.json"), row("raw/metadata/2.json")], later)
    with pytest.raises(
        StepError, match=r"lacks raw/bin-images/[12].jpg, which was in S3 before .*; take the prefix filter"
    ):
        rows_of(lists, tmp_path)


def test_photos_that_are_newer_than_the_list_are_not_seen(lists: Destination, s3: Any, tmp_path: Path) -> None:
    lists.write([row("raw/bin-images/1.jpg"), row("raw/metadata/1.json")], datetime.now(UTC) - timedelta(hours=3))
    for name in ("bin-images/0.jpg", "bin-images/1.jpg", "bin-images/2.jpg", "metadata/1.json"):
        s3.put_object(Bucket=lists.source, Key=f"raw/{name}", Body=b"x")
    assert [each["image_id"] for each in rows_of(lists, tmp_path)] == ["1"]


def test_a_run_is_the_same_by_a_list_and_says_so(job: Job, lists: Destination) -> None:
    for number in range(20):
        job.add(f"{number:03d}", bin_metadata(number % 7, f"B{number % 5}"))
    job.add("lonely", bin_metadata(1, "B1"), photo=False)
    listed = job.run()
    labels = job.written("labels")
    lists.write(lists.rows("raw/"), datetime.now(UTC) - timedelta(hours=5))
    job.add("newer", bin_metadata(1, "B1"))
    job.declare()
    by_list = job.run(inventory=lists.uri)
    assert job.written("labels") == labels
    assert (by_list.labels, refused(by_list)) == (listed.labels, refused(listed))
    assert listed.listed_by is None
    assert by_list.listed_by is not None
    assert by_list.listed_by.manifest.startswith(f"{lists.uri}/2")
    assert 5 * 3600 <= by_list.listed_by.age_seconds < 6 * 3600


def test_a_list_in_a_bucket_that_may_not_be_read_is_an_error_of_s3(lists: Destination) -> None:
    with pytest.raises(StepError, match=r"reading the inventory below s3://no-such-bucket-here/x/: NoSuchBucket"):
        S3Inventory(S3Uri("no-such-bucket-here", "x"), lists.source)
