"""The pages about a run's data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import boto3
import pytest
from moto import mock_aws
from starlette.testclient import TestClient

from pipeline.console.console import Console
from pipeline.console.pages import data
from pipeline.settings import Settings
from steps.contracts import photo_files
from steps.contracts.s3_inventory import ListedBy
from steps.contracts.shard_plan import Uneven
from steps.contracts.shard_summary import Leakage, Overlap
from tests.unit.pipeline.console.pages.account_of_data import (
    EXPLORED_ALL,
    JPEG,
    PLANNED,
    QUERIED,
    RAW,
    SHARDED,
    AccountOfData,
    Written,
    as_text,
)
from tests.unit.pipeline.console.pages.account_of_runs import step
from tests.unit.pipeline.console.pages.conftest import Clock


@pytest.fixture
def account(no_account: None, settings: Settings) -> Iterator[AccountOfData]:
    with mock_aws():
        account = AccountOfData(settings.data.bucket)
        boto3.setup_default_session(region_name="us-east-1")
        for service in ("sagemaker", "logs", "sts"):
            boto3.DEFAULT_SESSION.events.register_first(f"before-send.{service}", account.answer)
        yield account


@pytest.fixture
def written(account: AccountOfData, settings: Settings) -> Written:
    return Written(settings)


@pytest.fixture
def whole(account: AccountOfData, written: Written) -> str:
    """A run with all of its data."""
    account.add("run1", "Succeeded", QUERIED, SHARDED)
    written.query(above_maximum=(40, ["8", "9"]), other_format=(2, ["bin-images/a.png", "bin-images/b.png"]))
    written.shards(truncated=["17"], not_jpeg=["18"])
    return "run1"


def test_a_runs_data_has_its_counts_splits_classes_and_weights(browser: TestClient, whole: str) -> None:
    text = as_text(browser.get(f"/runs/{whole}/data").text)
    assert "Photos 41 Labelled 36 0 to 5 objects In the data set 36" in text
    assert "train 30 83.3% 80.0% 1 1.5" in text
    assert "1 10 3 0 1.500" in text
    assert "2 20 0 3 0.750" in text


def test_a_list_of_an_inventory_is_named_with_its_age(
    browser: TestClient, account: AccountOfData, written: Written
) -> None:
    account.add("run1", "Succeeded", QUERIED, SHARDED)
    begun = datetime(2026, 11, 28, 1, 0, tzinfo=UTC)
    written.query(listed_by=ListedBy(manifest="s3://lists/manifest.json", begun=begun, age_seconds=3 * 86_400))
    written.shards()
    text = as_text(browser.get("/runs/run1/data").text)
    assert "listed by S3 Inventory of 2026-11-28 01:00 UTC, 3 days old when it was read; photos that are newer" in text


UNEVEN = Uneven(quantity=2, split="validation", share=0.0, wanted=0.1)


def test_a_plan_has_its_buckets_its_largest_group_and_what_it_could_not_share_out(
    browser: TestClient, whole: str, written: Written
) -> None:
    written.plan("shard", UNEVEN)
    text = as_text(browser.get(f"/runs/{whole}/data").text)
    assert "Plan 2 buckets of 17 to 19 photos; the largest group of photos of the same bin has 9." in text
    assert (
        "too large to share out these quantities as wanted. Objects Split Share Wanted 2 validation 0.0% 10.0%" in text
    )


def test_a_plan_without_uneven_quantities_has_no_table_of_them(
    browser: TestClient, whole: str, written: Written
) -> None:
    written.plan("shard")
    text = as_text(browser.get(f"/runs/{whole}/data").text)
    assert "2 buckets of 17 to 19 photos" in text
    assert "too large to share out" not in text


def test_a_plan_that_is_made_apart_is_shown_before_the_shards_are_written(
    browser: TestClient, account: AccountOfData, written: Written
) -> None:
    running = step("ShardImages", "Executing")
    account.add("run1", "Executing", QUERIED, PLANNED, running)
    written.query()
    written.plan("plan")
    text = as_text(browser.get("/runs/run1/data").text)
    assert "2 buckets of 17 to 19 photos" in text
    assert "ShardImages Executing its part of this page follows" in text


def test_a_run_of_an_earlier_release_has_no_plan_and_its_page_no_word_of_it(browser: TestClient, whole: str) -> None:
    page = browser.get(f"/runs/{whole}/data").text
    assert "<h2>Plan</h2>" not in page
    assert "exploration" not in page.lower()


def test_the_page_of_an_exploration_is_linked_and_shown_where_a_run_has_the_step(
    browser: TestClient, account: AccountOfData, written: Written
) -> None:
    account.add("run1", "Succeeded", QUERIED, EXPLORED_ALL, SHARDED)
    written.query()
    written.shards()
    written.put("runs/explore-1/exploration/exploration.html", b"<!doctype html><h1>Everything</h1>")
    assert 'href="/runs/run1/exploration"' in browser.get("/runs/run1/data").text
    shown = browser.get("/runs/run1/exploration")
    assert "<h1>Everything</h1>" in shown.text
    assert "sandbox" in shown.headers["content-security-policy"]


def test_a_run_without_an_exploration_says_how_to_have_one(browser: TestClient, whole: str) -> None:
    shown = browser.get(f"/runs/{whole}/exploration")
    assert shown.status_code == 404
    assert "explored no data; set explore.enabled" in as_text(shown.text)


def test_leakage_is_compared_with_a_random_split(browser: TestClient, whole: str) -> None:
    text = as_text(browser.get(f"/runs/{whole}/data").text)
    assert "0 of 6 validation and test photos show a bin that training shows too (0.0%)" in text
    assert "in a random split of the same photos 4 of 6 would (66.7%)" in text
    assert "bin, random: 67%" in text


def test_unknown_leakage_is_called_so(browser: TestClient, account: AccountOfData, written: Written) -> None:
    account.add("run1", "Succeeded", QUERIED, SHARDED)
    written.query()
    none = Overlap(photos=6, same_bin=0, same_item=0)
    written.shards(Leakage(split=none, random=none, photos=36, unknown=36))
    page = browser.get("/runs/run1/data").text
    assert "Leakage between the splits is not known" in page
    assert "Shared with training" not in page


def test_weights_and_sizes_are_in_both_units(browser: TestClient, whole: str) -> None:
    page = browser.get(f"/runs/{whole}/data").text
    assert "length 3 5 1 2 in (5.08 cm) 4 in (10.2 cm)" in as_text(page)
    assert "from, in inches (upper) and centimetres (lower)" in page
    assert "2 (5.08): 3" in page


def test_what_was_left_out_shows_photos_where_there_are_any_and_names_otherwise(
    browser: TestClient, whole: str
) -> None:
    page = browser.get(f"/runs/{whole}/data").text
    assert re.findall(r'<img src="([^"]+)"', page) == [f"/runs/{whole}/photos/{photo}" for photo in ("8", "9", "17")]
    text = as_text(page)
    assert "other-format 2, by QueryMetadata bin-images/a.png, bin-images/b.png" in text
    assert "not-jpeg 1, by ShardImages 18" in text
    assert "and 38 more" in text


def test_a_photo_that_was_left_out_is_shown_as_a_jpeg_and_nothing_else(
    browser: TestClient, whole: str, written: Written
) -> None:
    written.photo("9.JPG")
    answer = browser.get(f"/runs/{whole}/photos/9")
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, JPEG, "image/jpeg")
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["7", "bin-images/a.png", "a.png", "%2e%2e%2fother", "8%00", "8/../7"])
def test_only_photos_that_the_run_names_are_read(browser: TestClient, whole: str, written: Written, name: str) -> None:
    written.photo("7.jpg")
    written.s3.put_object(Bucket=RAW, Key="other.jpg", Body=JPEG)
    answer = browser.get(f"/runs/{whole}/photos/{name}")
    assert answer.status_code == 404
    assert JPEG not in answer.content


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<svg onload='alert(1)'>", "8.jpg is no JPEG"),
        (b"", "8.jpg is no JPEG"),
        (JPEG * 10, "8.jpg has more than 100 bytes"),
    ],
)
def test_what_is_no_photo_or_too_large_is_refused_in_words(
    browser: TestClient, whole: str, written: Written, monkeypatch: pytest.MonkeyPatch, content: bytes, reason: str
) -> None:
    monkeypatch.setattr(photo_files, "MAX_BYTES", 100)
    written.photo("8.jpg", content)
    answer = browser.get(f"/runs/{whole}/photos/8")
    assert answer.status_code == 404
    assert reason in answer.text


def test_a_photo_that_was_deleted_is_not_found(browser: TestClient, whole: str) -> None:
    answer = browser.get(f"/runs/{whole}/photos/8")
    assert (answer.status_code, "any more" in answer.text) == (404, True)


def test_the_newest_run_with_data_is_shown(browser: TestClient, account: AccountOfData, whole: str) -> None:
    account.add("run2", "Failed", step("QueryMetadata", "Failed"))
    assert f'href="/runs/{whole}"' in browser.get("/data").text


def test_without_data_the_page_leads_on(browser: TestClient, account: AccountOfData) -> None:
    assert "The pipeline has no runs yet" in browser.get("/data").text
    account.add("run1", "Failed", step("QueryMetadata", "Failed"))
    assert browser.get("/runs/run9/data").status_code == 404
    text = as_text(browser.get("/runs/run1/data").text)
    assert "QueryMetadata Failed" in text


def test_a_run_under_way_shows_what_it_has_so_far(
    browser: TestClient, account: AccountOfData, written: Written
) -> None:
    account.add("run1", "Executing", QUERIED, step("ShardImages", "Executing"))
    written.query()
    page = browser.get("/runs/run1/data").text
    assert "Objects in a bin" in page
    assert "its part of this page follows" in page
    assert "<h2>Splits</h2>" not in page
    assert "data-live" in page


def test_an_earlier_releases_run_shows_the_page_of_its_query_step(
    browser: TestClient, whole: str, written: Written
) -> None:
    written.s3.delete_object(Bucket=written.bucket, Key="runs/query-1/summary/eda.json")
    page = browser.get(f"/runs/{whole}/data").text
    assert f'<iframe class="report" src="/runs/{whole}/eda" sandbox' in page
    assert "Objects in a bin" in page
    assert "sandbox" in browser.get(f"/runs/{whole}/eda").headers["content-security-policy"]


def test_a_damaged_file_is_named_and_the_rest_is_shown(browser: TestClient, whole: str, written: Written) -> None:
    written.put("runs/shard-1/summary/shard.json", b"{")
    page = browser.get(f"/runs/{whole}/data").text
    assert "shard.json: not a shard summary" in page
    assert "Objects in a bin" in page


def test_names_of_the_data_are_text(browser: TestClient, account: AccountOfData, written: Written) -> None:
    account.add("run1", "Succeeded", QUERIED)
    written.query(other_file=(1, ["<script>alert(1)</script>"]))
    page = browser.get("/runs/run1/data").text
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page


def test_a_run_that_has_ended_is_read_once(console: Console, account: AccountOfData, whole: str) -> None:
    first = data.data(console, {"run": whole})
    account.asked.clear()
    again = data.data(console, {"run": whole})
    assert (account.asked, again.refresh) == ([], 0.0)
    assert again.values["data"] is first.values["data"]


def test_the_idle_page_of_the_newest_data_makes_few_requests(
    console: Console, account: AccountOfData, whole: str, clock: Clock
) -> None:
    view = data.newest(console, {})
    account.asked.clear()
    for _ in range(int(60 / view.refresh)):
        clock.now += view.refresh
        data.newest(console, {})
    assert 0 < len(account.asked) <= 10
