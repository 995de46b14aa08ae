"""What a data set says about leakage. The kind: an unknown value that is shown as a measured zero."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from rich.console import Console

from pipeline.cli.output import print_parts
from pipeline.cli.views.dataset import dataset_page
from pipeline.operations.dataset.description import DataSet
from steps.contracts.query_summary import Summary
from steps.contracts.s3_inventory import ListedBy
from steps.contracts.shard_plan import ShardPlan, Uneven
from steps.contracts.shard_summary import Leakage, Overlap
from tests.unit.pipeline.console.pages.account_of_data import planned
from tests.unit.pipeline.operations.dataset.test_description import INDEX, queried, summary

LISTED = ListedBy(
    manifest="s3://lists/photos/daily/2026-11-28T01-00Z/manifest.json",
    begun=datetime(2026, 11, 28, 1, 0, tzinfo=UTC),
    age_seconds=30 * 3600,
)
OVERLAP = Overlap(photos=6, same_bin=0, same_item=0)


def page(plan: ShardPlan | None = None, query: Summary | None = None, **changes: int) -> str:
    described = summary("s3://b/i").model_copy(update={"leakage": Leakage(split=OVERLAP, random=OVERLAP, **changes)})
    console = Console(width=80, record=True, file=None)
    with console.capture() as capture:
        print_parts(console, *dataset_page(DataSet("s3://b/i", INDEX, described, query, plan=plan)))
    return capture.get()


def test_where_no_metadata_name_a_bin_the_leakage_is_not_known() -> None:
    shown = page(photos=30, unknown=30)
    assert "leakage between the splits is not known: the metadata name no items" in shown
    assert "0 (0.0%)" not in shown


@pytest.mark.parametrize("photos", [0, 30])
def test_measured_leakage_is_shown_as_numbers(photos: int) -> None:
    shown = page(photos=photos)
    assert "0 (0.0%)" in shown
    assert "not known" not in shown


def test_photos_without_items_among_others_are_counted() -> None:
    shown = page(photos=1_030, unknown=1_004)
    assert "not known for 1,004 of 1,030 photos" in shown
    assert "0 (0.0%)" in shown


def test_copies_are_counted_and_their_leak_is_measured_without_items_too() -> None:
    shown = page(photos=30, unknown=30, copies=12)
    assert "12 photos with the same bytes as another one" in shown
    assert "0 (0.0%)" in shown


def test_photos_that_were_listed_by_an_inventory_say_how_old_it_was() -> None:
    assert "listed by" not in page(query=queried(), photos=30)
    shown = " ".join(page(query=queried().model_copy(update={"listed_by": LISTED}), photos=30).split())
    assert (
        "listed by S3 Inventory of 2026-11-28 01:00 UTC, 30 hours old when it was read; photos that are newer" in shown
    )


def test_a_plan_has_its_buckets_and_what_its_groups_did_not_let_it_share_out() -> None:
    shown = " ".join(page(planned(Uneven(quantity=2, split="validation", share=0.0, wanted=0.1))).split())
    assert "planned in 2 buckets of 17 to 19 photos" in shown
    assert "largest group 9 photos of the same bin" in shown
    assert "uneven count split share wanted 2 validation 0.0% 10.0%" in shown


def test_an_even_plan_has_no_table_and_a_run_without_a_plan_no_word_of_it() -> None:
    assert "uneven count" not in page(planned())
    assert "planned in" not in page()
