"""What a data set says about leakage. The kind: an unknown value that is shown as a measured zero."""

from __future__ import annotations

import pytest
from rich.console import Console

from pipeline.cli.output import print_parts
from pipeline.cli.views.dataset import dataset_page
from pipeline.operations.dataset.description import DataSet
from steps.contracts.shard_summary import Leakage, Overlap
from tests.unit.pipeline.operations.dataset.test_description import INDEX, summary

OVERLAP = Overlap(photos=6, same_bin=0, same_item=0)


def page(**changes: int) -> str:
    described = summary("s3://b/i").model_copy(update={"leakage": Leakage(split=OVERLAP, random=OVERLAP, **changes)})
    console = Console(width=80, record=True, file=None)
    with console.capture() as capture:
        print_parts(console, *dataset_page(DataSet("s3://b/i", INDEX, described)))
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
    assert "12 photos have the same bytes as another one" in shown
    assert "0 (0.0%)" in shown
