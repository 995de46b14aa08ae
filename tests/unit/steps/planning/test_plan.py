"""Kind: a photo in the wrong split, or a plan that is no data set and is taken for one."""

import json
import tarfile
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from benchmarks.contenders.planning import plan as in_process
from steps.contracts.dataset import SPLITS
from steps.contracts.errors import StepError
from steps.contracts.labels import SCHEMA
from steps.contracts.s3_uri import S3Uri
from steps.contracts.shard_summary import Leakage, Overlap
from steps.planning import rule
from steps.planning.settings import DatasetSettings
from tests.unit.steps.planning.cases import planned
from tests.unit.steps.planning.cases import settings as with_settings


@dataclass(frozen=True)
class Plan:
    """A plan by DuckDB: splits by image id, refusals, and the splits that it decided (image_id, split)."""

    splits: dict[str, str]
    refusals: list[tuple[str, str]]
    assigned: pa.Table
    leakage: Leakage
    calibration: list[str]


def settings(**changes: Any) -> DatasetSettings:
    return with_settings(**{"validation_fraction": 0.1, "test_fraction": 0.1, **changes})


def make_plan(table: pa.Table, chosen: DatasetSettings, earlier: pa.Table | None = None) -> Plan:
    given_split = earlier if chosen.split == "file" else None
    decision, places, left_out = planned(table, chosen, None if given_split is not None else earlier, given_split)
    splits = {image_id: SPLITS[place] for image_id, place in places.items()}
    kept = set() if earlier is None else set(earlier["image_id"].to_pylist())
    new = [image_id for image_id in splits if image_id not in kept]
    assert decision.assigned == len(new)
    assigned = pa.table([new, [splits[image_id] for image_id in new]], in_process.ASSIGNMENTS)
    return Plan(splits, list(left_out.items()), assigned, decision.leakage, decision.calibration)


def labels(*rows: tuple) -> pa.Table:
    rows = [(*row, *(f"etag-{row[0]}", 1_000, None)[len(row) - 4 :]) for row in rows]
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], SCHEMA).sort_by("image_id")


def many(count: int, **changes):
    rows = [(f"{n:03d}", n % 3, [f"B{n}"], f"{n:03d}.jpg") for n in range(count)]
    return labels(*[changes.get(row[0], row) for row in rows])


@pytest.mark.parametrize("image_id", ["a/b", "..", "a.b", "", " ", "-x", "é", "a\n", "x" * 97])
def test_an_id_that_would_break_the_tar_is_refused(image_id: str):
    plan = make_plan(many(20, **{"003": (image_id, 1, ["B"], "003.jpg")}), settings())

    assert plan.refusals == [(image_id, "unsafe-id")]
    assert len(plan.splits) == 19


@pytest.mark.parametrize("image_id", ["1", "00001", "A_b-9", "x" * 96])
def test_other_ids_are_taken_as_they_are(image_id: str):
    plan = make_plan(many(20, **{"003": (image_id, 1, ["B"], "003.jpg")}), settings())

    assert image_id in plan.splits


@pytest.mark.parametrize("key", ["", "../secret.jpg", "a//b.jpg", "./a.jpg"])
def test_a_key_that_clients_resolve_to_another_object_is_refused(key: str):
    plan = make_plan(many(20, **{"003": ("003", 1, ["B"], key)}), settings())

    assert plan.refusals == [("003", "unsafe-key")]


def test_the_leak_of_a_split_and_of_a_random_one_is_counted():
    table = labels(*[(f"{n:03d}", n % 3, ["one-bin" if n < 30 else f"B{n}"], f"{n}.jpg") for n in range(60)])

    grouped, by_chance = make_plan(table, settings()), make_plan(table, settings(split="random"))

    held_out = [image_id for image_id, split in by_chance.splits.items() if split != "train"]
    leaked = sum(int(image_id) < 30 for image_id in held_out)
    assert leaked
    assert by_chance.leakage.split == Overlap(photos=len(held_out), same_bin=leaked, same_item=leaked)
    assert grouped.leakage.split == Overlap(photos=12, same_bin=0, same_item=0)
    assert grouped.leakage.random == by_chance.leakage.random
    assert grouped.leakage.random.same_bin > 0


@pytest.mark.parametrize("split", ["grouped", "random"])
def test_models_are_calibrated_by_one_photo_of_each_bin_that_only_validation_has(split: str):
    """Three photos of each of 60 bins; nothing of a bin that is in training or in the test split."""
    table = labels(*[(f"{n:03d}", n % 3, [f"B{n // 3}"], f"{n}.jpg") for n in range(180)])

    plan = make_plan(table, settings(split=split, validation_fraction=0.4))

    splits_of_bins = defaultdict(set)
    for image_id, each in plan.splits.items():
        splits_of_bins[int(image_id) // 3].add(each)
    expected = sorted(number for number, splits in splits_of_bins.items() if splits == {"validation"})
    assert expected
    assert sorted(int(image_id) // 3 for image_id in plan.calibration) == expected
    assert plan.calibration == sorted(plan.calibration)
    assert {plan.splits[image_id] for image_id in plan.calibration} == {"validation"}


def test_earlier_splits_change_nothing_in_whom_models_are_calibrated_by():
    table = labels(*[(f"{n:03d}", n % 3, [f"B{n // 3}"], f"{n}.jpg") for n in range(180)])
    first = make_plan(table, settings(validation_fraction=0.4))

    again = make_plan(table, settings(validation_fraction=0.4), first.assigned)

    assert again.calibration == first.calibration


def test_a_photo_without_items_is_a_bin_of_its_own():
    table = labels(*[(f"{n:03d}", n % 3, [], f"{n}.jpg") for n in range(60)])
    plan = make_plan(table, settings(validation_fraction=0.4))
    assert plan.calibration == sorted(image_id for image_id, split in plan.splits.items() if split == "validation")


def test_only_so_many_bins_calibrate(monkeypatch: pytest.MonkeyPatch):
    table = many(100)
    every = make_plan(table, settings()).calibration
    monkeypatch.setattr(rule, "CALIBRATION_BINS", 4)
    few = make_plan(table, settings()).calibration
    assert len(few) == 4 < len(every)
    assert set(few) < set(every)
    # A random choice.
    assert few != every[:4]


def test_bins_with_many_photos_calibrate_no_more_often_than_others(monkeypatch: pytest.MonkeyPatch):
    """Kind: bins whose photos draw more lots than one."""
    several = [(f"{n:04d}", n % 3, [f"B{n // 8}"], f"{n}.jpg") for n in range(800)]
    single = [(f"{n:04d}", n % 3, [f"B{n}"], f"{n}.jpg") for n in range(800, 900)]
    table = labels(*several, *single)
    monkeypatch.setattr(rule, "CALIBRATION_BINS", 10)
    chosen = [
        int(image_id) < 800
        for seed in range(12)
        for image_id in make_plan(table, settings(seed=seed, validation_fraction=0.4)).calibration
    ]
    # Half of the bins; by the least key they would be nearly nine in ten.
    assert 0.3 < sum(chosen) / len(chosen) < 0.7


def test_an_item_that_is_in_training_too_is_counted_though_the_bins_differ():
    table = labels(*[(f"{n:03d}", n % 3, ["everywhere", f"a{n}", f"b{n}", f"c{n}"], f"{n}.jpg") for n in range(30)])

    overlap = make_plan(table, settings()).leakage.split

    assert (overlap.photos, overlap.same_bin, overlap.same_item) == (6, 0, 6)


@pytest.mark.parametrize("split", ["grouped", "random"])
def test_earlier_photos_keep_their_split_when_others_come(split: str):
    first = make_plan(many(40), settings(split=split))

    then = make_plan(many(90), settings(split=split), first.assigned)

    assert first.splits.items() <= then.splits.items()
    assert set(then.assigned["image_id"].to_pylist()) == then.splits.keys() - first.splits.keys()
    counts = Counter(then.splits.values())
    assert counts["test"] == counts["validation"] == 9


def test_a_bin_that_would_join_two_splits_is_set_aside_and_counted():
    rows = [(f"{n:03d}", n % 3, [f"A{n}", f"B{n}"], f"{n:03d}.jpg") for n in range(40)]
    first = make_plan(labels(*rows), settings())
    by_split = {split: next(i for i, s in first.splits.items() if s == split) for split in ("train", "test")}
    both = [item for image_id in by_split.values() for item in (f"A{int(image_id)}", f"B{int(image_id)}")]

    then = make_plan(labels(*rows, ("between", 2, both, "between.jpg")), settings(), first.assigned)

    assert then.refusals == [("between", "between-two-splits")]
    assert then.splits == first.splits
    assert len(then.assigned) == 0


@hypothesis_settings(max_examples=10, deadline=None)
@given(st.integers(12, 50), st.integers(0, 30), st.integers(0, 1000))
def test_a_plan_from_its_own_assignments_is_the_same_plan(count: int, more: int, seed: int):
    items = [[f"B{n // 2}", f"C{n // 3}"] for n in range(count + more)]
    rows = [(f"{n:03d}", n % 3, items[n], f"{n:03d}.jpg") for n in range(count + more)]
    before = make_plan(labels(*rows[:count]), settings(seed=seed)).assigned

    once = make_plan(labels(*rows), settings(seed=seed), before)
    again = make_plan(labels(*rows), settings(seed=seed), pa.concat_tables([before, once.assigned]))

    assert again.splits == once.splits
    assert again.refusals == once.refusals
    assert len(again.assigned) == 0


def test_a_given_split_without_training_photos_of_a_quantity_is_refused():
    splits = ["train" if n % 3 < 2 else ("validation", "test")[n % 2] for n in range(20)]
    listed = pa.table([[f"{n:03d}" for n in range(20)], splits], schema=in_process.ASSIGNMENTS)
    location = S3Uri("bucket", "split.csv")

    with pytest.raises(StepError, match="no photo with quantity 2 is in the training split"):
        make_plan(many(20), settings(split="file", split_file_location=location), listed)


def test_photos_of_one_quantity_only_are_refused():
    table = labels(*[(f"{n}", 4, [f"B{n}"], f"{n}.jpg") for n in range(20)])

    with pytest.raises(StepError, match="all 20 photos show 4 objects"):
        make_plan(table, settings())


def test_a_group_larger_than_a_split_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """A mixed case that stands in most bins joins them all."""
    rows = [(f"{n:03d}", n % 3, ["screws"] if n < 40 else [f"B{n}"], f"{n:03d}.jpg") for n in range(100)]
    plan = make_plan(labels(*rows), settings(split="grouped"))
    assert "40 of 100 new photos are a group" in caplog.text
    assert len({plan.splits[f"{n:03d}"] for n in range(40)}) == 1
    caplog.clear()
    make_plan(many(100), settings(split="grouped"))
    assert "a group" not in caplog.text


def test_a_quantity_too_rare_for_every_split_is_told(caplog: pytest.LogCaptureFixture):
    make_plan(many(20, **{"003": ("003", 9, ["B"], "003.jpg")}), settings())

    assert "quantity 9 is too rare to occur in the validation split" in caplog.text


def test_the_data_set_key_changes_with_all_that_shapes_a_shard_and_not_with_the_photos():
    listed = {"split": "file", "split_file_location": S3Uri("bucket", "split.csv")}
    changes = [
        {},
        {"seed": 2},
        {"test_fraction": 0.2},
        {"split": "random"},
        listed,
        {"image_size": 128},
        {"quality": 80},
        {"shard_megabytes": 2},
        {"compact": 1},
        {"image_location": S3Uri("bucket", "other")},
    ]

    keys = [settings(**change).dataset for change in changes]

    assert len(set(keys)) == len(keys)
    assert settings(common_items=0.5).dataset == keys[0], "photos that are split already keep their split"
    # A given split is compared photo by photo.
    assert settings(**listed, test_fraction=0.2).dataset == settings(**listed).dataset


@pytest.mark.abid
@pytest.mark.parametrize("name", ["originals.tar", "resized-224.tar"])
def test_no_real_bin_stands_in_two_splits_and_a_random_split_would_leak(abid: Path, name: str):
    rows, items = [], {}
    with tarfile.open(abid / name) as tar:
        for member in tar:
            if member.name.endswith(".json"):
                content = json.loads(tar.extractfile(member).read())
                image_id = Path(member.name).stem
                items[image_id] = set(content["BIN_FCSKU_DATA"])
                rows.append((image_id, content["EXPECTED_QUANTITY"], sorted(items[image_id]), f"{image_id}.jpg"))

    plan = make_plan(labels(*rows), settings())

    split_of = plan.splits
    expected = in_process.make_plan(labels(*rows), settings())
    ids = expected.labels["image_id"].to_pylist()
    assert split_of == {image_id: SPLITS[place] for image_id, place in zip(ids, expected.splits.tolist(), strict=True)}
    assert plan.leakage == expected.leakage
    holding = defaultdict(list)
    for image_id, held in items.items():
        for item in held:
            holding[item].append(image_id)
    for first, held in items.items():
        for second in {other for item in held for other in holding[item]}:
            if 2 * len(held & items[second]) >= len(held | items[second]):
                assert split_of[first] == split_of[second]
    assert plan.leakage.split.same_bin == 0
    common = [row for row in rows if row[1] <= 5]
    half = make_plan(labels(*common[::2]), settings())
    assert half.splits.items() <= make_plan(labels(*common), settings(), half.assigned).splits.items()
    assert 0 < plan.leakage.split.same_item < plan.leakage.random.same_item
    assert plan.leakage.random.same_bin > 0.3 * plan.leakage.random.photos
