"""Who writes what."""

import logging

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.common.container import Instance
from steps.common.errors import StepError
from steps.common.labels import SCHEMA
from steps.common.s3 import S3Uri
from steps.shard.plan import Photo, Plan, Refusal, describe, make_plan
from steps.shard.settings import Settings


def settings(**changes) -> Settings:
    values = {
        "image_location": S3Uri("bucket", "raw"),
        "image_size": 256,
        "quality": 90,
        "split": "grouped",
        "seed": 1,
        "validation_fraction": 0.1,
        "test_fraction": 0.1,
        "shard_megabytes": 200,
        "maximum_rejects": 0.05,
    }
    return Settings(**{**values, **changes})


def labels(*rows: tuple) -> pa.Table:
    names = ("image_id", "quantity", "asins", "image_key")
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], SCHEMA)


def many(count: int, **changes):
    rows = [(f"{n:03d}", n % 3, [f"B{n}"], f"{n:03d}.jpg") for n in range(count)]
    return labels(*[changes.get(row[0], row) for row in rows])


@given(st.integers(0, 60), st.integers(0, 20), st.integers(1, 12))
def test_shares_cover_everything_once_and_differ_by_one_at_most(photos: int, refusals: int, instances: int):
    plan = Plan(
        [Photo(str(n), f"{n}.jpg", 1, "train", str(n)) for n in range(photos)],
        [Refusal(f"r{n}", "unsafe-id") for n in range(refusals)],
    )

    shares = [plan.share(Instance(n, instances, f"algo-{n + 1}")) for n in range(instances)]

    assert sorted(p.image_id for share in shares for p in share.photos) == sorted(p.image_id for p in plan.photos)
    assert sorted(r.image_id for share in shares for r in share.refusals) == sorted(r.image_id for r in plan.refusals)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("image_id", ["a/b", "..", "a.b", "", " ", "-x", "é", "a\n", "x" * 97])
def test_an_id_that_would_break_the_tar_is_refused(image_id: str):
    plan = make_plan(many(20, **{"003": (image_id, 1, ["B"], "003.jpg")}), settings())

    assert plan.refusals == [Refusal(image_id, "unsafe-id")]
    assert len(plan.photos) == 19


@pytest.mark.parametrize("image_id", ["1", "00001", "A_b-9", "x" * 96])
def test_other_ids_are_taken_as_they_are(image_id: str):
    plan = make_plan(many(20, **{"003": (image_id, 1, ["B"], "003.jpg")}), settings())

    assert image_id in {photo.image_id for photo in plan.photos}


@pytest.mark.parametrize("key", ["", "../secret.jpg", "a//b.jpg", "./a.jpg"])
def test_a_key_that_clients_resolve_to_another_object_is_refused(key: str):
    assert make_plan(many(20, **{"003": ("003", 1, ["B"], key)}), settings()).refusals == [Refusal("003", "unsafe-key")]


def test_a_random_split_is_of_photos_and_says_how_many_bins_it_leaks(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    table = labels(*[(f"{n:03d}", n % 3, ["one-bin" if n < 30 else f"B{n}"], f"{n}.jpg") for n in range(60)])

    make_plan(table, settings())
    assert "0 of 12 validation and test photos show a bin that is in training too" in caplog.text
    caplog.clear()
    plan = make_plan(table, settings(split="random"))

    leaked = sum(photo.split != "train" and int(photo.image_id) < 30 for photo in plan.photos)
    assert leaked
    assert f"{leaked} of 12 validation and test photos show a bin that is in training too" in caplog.text


def test_a_given_split_without_training_photos_of_a_quantity_is_refused():
    listed = {f"{n:03d}": "train" if n % 3 < 2 else ("validation", "test")[n % 2] for n in range(20)}
    location = S3Uri("bucket", "split.csv")

    with pytest.raises(StepError, match="no photo with quantity 2 falls to training"):
        make_plan(many(20), settings(split="file", split_file_location=location), listed)


def test_photos_of_one_quantity_only_are_refused():
    table = labels(*[(f"{n}", 4, [f"B{n}"], f"{n}.jpg") for n in range(20)])

    with pytest.raises(StepError, match="all 20 photos show 4 objects"):
        make_plan(table, settings())


def test_a_quantity_too_rare_for_every_split_is_told(caplog: pytest.LogCaptureFixture):
    make_plan(many(20, **{"003": ("003", 9, ["B"], "003.jpg")}), settings())

    assert "quantity 9 is too rare to occur in the validation split" in caplog.text


def test_the_labels_hash_changes_with_any_label_and_with_nothing_else():
    plan = make_plan(many(20), settings())

    def labels_hash(table: pa.Table) -> str:
        return describe(settings(), table, plan).labels_sha256

    in_two_chunks = pa.concat_tables([many(20).slice(0, 7), many(20).slice(7)])
    assert labels_hash(in_two_chunks) == labels_hash(many(20))
    assert labels_hash(many(20, **{"003": ("003", 1, ["B3"], "003.jpg")})) != labels_hash(many(20))
