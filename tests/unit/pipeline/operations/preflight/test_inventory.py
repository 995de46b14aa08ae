"""Lists of S3 Inventory that a run would read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipeline.settings import Settings
from tests.answers import Answers
from tests.unit.pipeline.operations.preflight.conftest import Look, changed, client
from tests.unit.steps.query.inventories import Destination, row

SOURCE, LISTS = "photos-raw", "photos-lists"


@pytest.fixture
def lists() -> Destination:
    s3 = client("s3")
    for bucket in (SOURCE, LISTS):
        s3.create_bucket(Bucket=bucket)
    return Destination(s3, LISTS, SOURCE)


@pytest.fixture
def listing(settings: Settings) -> Settings:
    """Settings that list the photos by an inventory."""
    folder = f"s3://{LISTS}/lists/{SOURCE}/daily/"
    return changed(settings, "data", image_location=f"s3://{SOURCE}/2026", inventory=folder)


def test_without_an_inventory_nothing_is_needed(look: Look) -> None:
    assert look("inventory") == [("ok", "none is needed: the photos are listed")]


def test_the_age_of_the_newest_list_is_told(look: Look, listing: Settings, lists: Destination) -> None:
    key = lists.write([row("2026/bin-images/1.jpg")], datetime.now(UTC) - timedelta(hours=30))
    expected = f"s3://{LISTS}/{key} is 30 hours old; photos that are newer are not seen"
    assert look("inventory", listing) == [("ok", expected)]


def test_a_list_that_no_other_follows_is_a_warning(look: Look, listing: Settings, lists: Destination) -> None:
    lists.write([row("2026/bin-images/1.jpg")], datetime.now(UTC) - timedelta(days=40, hours=1))
    [(status, detail)] = look("inventory", listing)
    assert status == "warning"
    assert f"the newest list below s3://{LISTS}/lists/{SOURCE}/daily is 40 days old" in detail


def test_a_list_that_a_run_would_refuse_is_a_failure(look: Look, listing: Settings, lists: Destination) -> None:
    [(status, detail)] = look("inventory", listing)
    assert (status, detail.partition(";")[0]) == (
        "failed",
        f"s3://{LISTS}/lists/{SOURCE}/daily/ has no list of S3 Inventory",
    )
    lists.write([row("2026/bin-images/1.jpg")], fileFormat="CSV")
    [(status, detail)] = look("inventory", listing)
    assert status == "failed"
    assert detail.endswith("which is not read; set the output format of the inventory configuration to Parquet")


def test_a_bucket_that_is_not_there_or_closed(look: Look, listing: Settings, answers: Answers) -> None:
    [(status, detail)] = look("inventory", listing)
    assert (status, detail.partition(";")[0]) == ("failed", f"there is no bucket {LISTS}")
    answers.error("s3.ListObjectsV2", "AccessDenied", "Access Denied", status=403)
    [(status, detail)] = look("inventory", listing)
    assert (status, detail.endswith("(the job role reads it)")) == ("not checked", True)
