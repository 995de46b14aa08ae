"""Who writes what."""

import json
import tarfile
from collections import Counter, defaultdict
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.contracts.dataset import SPLITS
from steps.contracts.errors import StepError
from steps.contracts.labels import SCHEMA
from steps.contracts.s3_uri import S3Uri
from steps.contracts.shard_summary import Overlap
from steps.runtime.container import Instance
from steps.shard.plan import ASSIGNMENTS, Plan, dataset_key, generation_key, make_plan
from steps.shard.settings import Settings
from tests.unit.steps.arguments import SHARD


def settings(**changes) -> Settings:
    return Settings(**{**SHARD, **changes})


def labels(*rows: tuple) -> pa.Table:
    rows = [(*row, *(f"etag-{row[0]}", 1_000, None)[len(row) - 4 :]) for row in rows]
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], SCHEMA).sort_by("image_id")


def everything(plan: Plan):
    return plan.share(plan.order, Instance(0, 1, "algo-1"))


def photos(plan: Plan):
    """Every photo with its split."""
    share = everything(plan)
    return {photo.image_id: split for split in SPLITS for photo in share.photos(split)}


def refusals(plan: Plan):
    return [(image_id, reason) for reason, ids in plan.refusals().items() for image_id in ids]


def many(count: int, **changes):
    rows = [(f"{n:03d}", n % 3, [f"B{n}"], f"{n:03d}.jpg") for n in range(count)]
    return labels(*[changes.get(row[0], row) for row in rows])


@given(st.integers(12, 60), st.integers(0, 20), st.integers(1, 12))
def test_shares_cover_everything_once_and_differ_by_one_at_most(usable: int, refused: int, instances: int):
    rows = [(f"{n:03d}", n % 3, [f"B{n}"], f"{n:03d}.jpg") for n in range(usable)]
    plan = make_plan(labels(*rows, *[(f"{n}/", 1, [], f"{n}.jpg") for n in range(refused)]), settings())

    shares = [plan.share(plan.order, Instance(n, instances, f"algo-{n + 1}")) for n in range(instances)]

    written = [photo.image_id for share in shares for split in SPLITS for photo in share.photos(split)]
    assert sorted(written) == sorted(photos(plan)) == [row[0] for row in rows]
    assert sorted(image_id for image_id, _ in refusals(plan)) == sorted(f"{n}/" for n in range(refused))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    for split in SPLITS:
        sizes = [len(share.rows[split]) for share in shares]
        assert max(sizes) - min(sizes) <= 1


def test_a_share_can_be_read_from_any_place():
    share = everything(make_plan(many(2_500), settings()))

    whole = list(share.photos("train"))

    assert list(share.photos("train", start=1_234)) == whole[1_234:]
    assert list(share.photos("train", start=len(whole))) == []


@pytest.mark.parametrize("image_id", ["a/b", "..", "a.b", "", " ", "-x", "é", "a\n", "x" * 97])
def test_an_id_that_would_break_the_tar_is_refused(image_id: str):
    plan = make_plan(many(20, **{"003": (image_id, 1, ["B"], "003.jpg")}), settings())

    assert refusals(plan) == [(image_id, "unsafe-id")]
    assert len(photos(plan)) == 19


@pytest.mark.parametrize("image_id", ["1", "00001", "A_b-9", "x" * 96])
def test_other_ids_are_taken_as_they_are(image_id: str):
    plan = make_plan(many(20, **{"003": (image_id, 1, ["B"], "003.jpg")}), settings())

    assert image_id in photos(plan)


@pytest.mark.parametrize("key", ["", "../secret.jpg", "a//b.jpg", "./a.jpg"])
def test_a_key_that_clients_resolve_to_another_object_is_refused(key: str):
    plan = make_plan(many(20, **{"003": ("003", 1, ["B"], key)}), settings())

    assert refusals(plan) == [("003", "unsafe-key")]


def test_the_leak_of_a_split_and_of_a_random_one_is_counted():
    table = labels(*[(f"{n:03d}", n % 3, ["one-bin" if n < 30 else f"B{n}"], f"{n}.jpg") for n in range(60)])

    grouped, by_chance = make_plan(table, settings()), make_plan(table, settings(split="random"))

    held_out = [image_id for image_id, split in photos(by_chance).items() if split != "train"]
    leaked = sum(int(image_id) < 30 for image_id in held_out)
    assert leaked
    assert by_chance.leakage.split == Overlap(photos=len(held_out), same_bin=leaked, same_item=leaked)
    assert grouped.leakage.split == Overlap(photos=12, same_bin=0, same_item=0)
    assert grouped.leakage.random == by_chance.leakage.random
    assert grouped.leakage.random.same_bin > 0


def test_an_item_that_is_in_training_too_is_counted_though_the_bins_differ():
    table = labels(*[(f"{n:03d}", n % 3, ["everywhere", f"a{n}", f"b{n}", f"c{n}"], f"{n}.jpg") for n in range(30)])

    overlap = make_plan(table, settings()).leakage.split

    assert (overlap.photos, overlap.same_bin, overlap.same_item) == (6, 0, 6)


@pytest.mark.parametrize("split", ["grouped", "random"])
def test_known_photos_keep_their_split_when_others_come(split: str):
    first = make_plan(many(40), settings(split=split))

    then = make_plan(many(90), settings(split=split), first.assigned)

    assert photos(first).items() <= photos(then).items()
    assert set(then.assigned["image_id"].to_pylist()) == photos(then).keys() - photos(first).keys()
    counts = Counter(photos(then).values())
    assert counts["test"] == counts["validation"] == 9


def test_a_bin_that_would_join_two_splits_is_set_aside_and_counted():
    rows = [(f"{n:03d}", n % 3, [f"A{n}", f"B{n}"], f"{n:03d}.jpg") for n in range(40)]
    first = make_plan(labels(*rows), settings())
    by_split = {split: next(i for i, s in photos(first).items() if s == split) for split in ("train", "test")}
    both = [item for image_id in by_split.values() for item in (f"A{int(image_id)}", f"B{int(image_id)}")]

    then = make_plan(labels(*rows, ("between", 2, both, "between.jpg")), settings(), first.assigned)

    assert refusals(then) == [("between", "between-two-splits")]
    assert photos(then) == photos(first)
    assert len(then.assigned) == 0


@given(st.integers(12, 50), st.integers(0, 30), st.integers(0, 1000))
def test_a_plan_from_its_own_assignments_is_the_same_plan(count: int, more: int, seed: int):
    items = [[f"B{n // 2}", f"C{n // 3}"] for n in range(count + more)]
    rows = [(f"{n:03d}", n % 3, items[n], f"{n:03d}.jpg") for n in range(count + more)]
    before = make_plan(labels(*rows[:count]), settings(seed=seed)).assigned

    once = make_plan(labels(*rows), settings(seed=seed), before)
    again = make_plan(labels(*rows), settings(seed=seed), pa.concat_tables([before, once.assigned]))

    assert photos(again) == photos(once)
    assert list(again.order) == list(once.order)
    assert again.refused == once.refused
    assert len(again.assigned) == 0


def test_a_given_split_without_training_photos_of_a_quantity_is_refused():
    splits = ["train" if n % 3 < 2 else ("validation", "test")[n % 2] for n in range(20)]
    listed = pa.table([[f"{n:03d}" for n in range(20)], splits], schema=ASSIGNMENTS)
    location = S3Uri("bucket", "split.csv")

    with pytest.raises(StepError, match="no photo with quantity 2 is in the training split"):
        make_plan(many(20), settings(split="file", split_file_location=location), listed)


def test_photos_of_one_quantity_only_are_refused():
    table = labels(*[(f"{n}", 4, [f"B{n}"], f"{n}.jpg") for n in range(20)])

    with pytest.raises(StepError, match="all 20 photos show 4 objects"):
        make_plan(table, settings())


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
        {"shard_megabytes": 1},
        {"compact": 1},
        {"image_location": S3Uri("bucket", "other")},
    ]

    keys = [dataset_key(settings(**change)) for change in changes]

    assert len(set(keys)) == len(keys)
    assert dataset_key(settings(maximum_rejects=0.5, maximum_removed=0.5)) == keys[0]
    # A given split is compared photo by photo.
    assert dataset_key(settings(**listed, seed=2)) == dataset_key(settings(**listed))


def generation(table: pa.Table, instances: int = 1, leave: int = 0) -> str:
    plan = make_plan(table, settings())
    return generation_key(plan, plan.order[leave:], instances)


def test_a_generation_is_named_by_its_photos_their_labels_and_the_number_of_instances():
    replaced = many(20, **{"003": ("003", 0, ["B3"], "003.jpg", "another-etag", 1_000)})
    relabelled = many(20, **{"003": ("003", 1, ["B3"], "003.jpg")})

    keys = [
        generation(many(20)),
        generation(many(21)),
        generation(many(20), leave=1),
        generation(replaced),
        generation(relabelled),
        generation(many(20), instances=2),
    ]

    assert len(set(keys)) == len(keys)
    in_two_chunks = pa.concat_tables([many(20).slice(0, 7), many(20).slice(7)])
    assert generation(in_two_chunks) == keys[0]


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

    split_of = photos(plan)
    assert Counter(row[1] for row in rows) == Counter(
        photo.quantity for split in SPLITS for photo in everything(plan).photos(split)
    )
    holding = defaultdict(list)
    for image_id, held in items.items():
        for item in held:
            holding[item].append(image_id)
    for first, held in items.items():
        for second in {other for item in held for other in holding[item]}:
            if 2 * len(held & items[second]) >= len(held | items[second]):
                assert split_of[first] == split_of[second]
    assert plan.leakage.split.same_bin == 0
    assert 0 < plan.leakage.split.same_item < plan.leakage.random.same_item
    assert plan.leakage.random.same_bin > 0.3 * plan.leakage.random.photos
