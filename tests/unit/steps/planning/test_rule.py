"""Kind: a plan in which photos of one bin are in two splits, or that differs from the exact rule."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest

from benchmarks.contenders.planning import plan as in_process
from steps.contracts.dataset import SPLITS
from steps.contracts.errors import StepError
from steps.contracts.labels import SCHEMA
from steps.contracts.s3_uri import S3Uri
from steps.planning import rule
from steps.planning.settings import DatasetSettings
from tests.unit.steps.planning.cases import earlier_splits, planned, settings, tangled


def chosen_for(split: str) -> DatasetSettings:
    place = S3Uri("raw-bucket", "split.csv") if split == "file" else None
    return settings(split=split, split_file_location=place)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [0.0, 0.2])
@pytest.mark.parametrize("split", ["grouped", "random", "file"])
def test_the_plan_is_that_of_the_in_process_planner(seed: int, share: float, split: str) -> None:
    labels = tangled(400, seed)
    earlier = earlier_splits(labels, 0.9 if split == "file" else share, seed) if share or split == "file" else None
    expected = in_process.make_plan(labels, chosen_for(split), earlier)
    kept, given = (None, earlier) if split == "file" else (earlier, None)
    decision, splits, left_out = planned(labels, chosen_for(split), kept, given)

    ids = labels["image_id"].to_pylist()
    assert splits == {ids[row]: place for row, place in enumerate(expected.splits.tolist()) if place >= 0}
    assert left_out == {ids[row]: reason for row, reason in expected.refused}
    assert decision.leakage == expected.leakage
    assert decision.labelled == len(labels)
    assert decision.left_out == Counter(left_out.values())
    assert decision.class_counts == {
        name: Counter(
            quantity
            for name_of, quantity in zip(ids, labels["quantity"].to_pylist(), strict=True)
            if splits.get(name_of) == place
        )
        for place, name in enumerate(SPLITS)
    }


def rows(*items: list[str], quantities: list[int] | None = None) -> pa.Table:
    """Labels of photos 000, 001, ... of bins with these items."""
    return pa.Table.from_pylist(
        [
            {
                "image_id": f"{number:03d}",
                "quantity": (quantities or [1, 2])[number % len(quantities or [1, 2])],
                "asins": held,
                "image_key": f"bin-images/{number:03d}.jpg",
                "image_etag": f"{number:032x}",
                "image_bytes": 1,
                "bin_group": None,
            }
            for number, held in enumerate(items)
        ],
        SCHEMA,
    )


def test_an_item_in_most_bins_joins_them_unless_it_is_declared_common() -> None:
    labels = rows(*(["screws", f"item-{number}"] for number in range(60)))
    joined = rows(*(["screws"] for _ in range(60)))
    with pytest.raises(StepError, match="no photo is in the validation split"):
        planned(joined, settings())
    decision, splits, _ = planned(joined, settings(common_items=0.5))
    assert decision.largest_group == 0, "a bin of common items alone says nothing about other bins"
    assert decision.leakage.unknown == 60
    assert Counter(splits.values()) == {0: 36, 1: 12, 2: 12}
    decision, _, _ = planned(labels, settings(common_items=0.5))
    assert decision.largest_group == 1


def test_a_group_that_is_larger_than_a_split_is_named_and_the_uneven_quantities_are_listed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    labels = rows(*(["screws"] for _ in range(50)), *([f"item-{number}"] for number in range(50)))
    decision, splits, _ = planned(labels, settings())
    assert decision.largest_group == 50
    assert len({splits[f"{number:03d}"] for number in range(50)}) == 1
    assert "50 of 100 new photos are a group" in caplog.text
    assert not decision.uneven, "the rest of the photos evens out what the group took"
    labels = rows(*(["screws"] for _ in range(80)), *([f"item-{number}"] for number in range(20)))
    decision, _, _ = planned(labels, settings())
    assert {(uneven.quantity, uneven.split) for uneven in decision.uneven} == {
        (quantity, split) for quantity in (1, 2) for split in SPLITS
    }
    assert "not divided: 80.0% of quantity 1 in train, " in caplog.text


def test_the_same_id_twice_is_refused() -> None:
    labels = rows(["a"], ["b"])
    with pytest.raises(StepError, match="the image id '000' occurs twice in the labels"):
        planned(pa.concat_tables([labels, labels]), settings())


def test_labels_without_a_usable_photo_are_refused_with_the_reasons() -> None:
    labels = rows(["a"], ["b"])
    labels = labels.set_column(0, SCHEMA.field(0), pa.array(["a b", "c d"]))
    with pytest.raises(StepError, match="none of the 2 labelled photos can be used: unsafe-id 2"):
        planned(labels, settings())
    with pytest.raises(StepError, match="none of the 0 labelled photos can be used: the labels are empty"):
        planned(labels.slice(0, 0), settings())


def test_common_items_are_limited_by_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = rows(*(["screws", "nails", f"item-{number}"] for number in range(60)))
    monkeypatch.setattr(rule, "_COMMON_ITEMS", 2)
    _, splits, _ = planned(labels, settings(common_items=0.5))
    assert len(splits) == 60
    monkeypatch.setattr(rule, "_COMMON_ITEMS", 1)
    with pytest.raises(StepError, match=r"more than 1 items are in more than 0\.5 of the photos; set a larger share"):
        planned(labels, settings(common_items=0.5))
