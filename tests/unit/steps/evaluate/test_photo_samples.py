"""Photos that are kept of many: the largest and the most frequent errors, golden photos, the monitor's baseline."""

import base64
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.contracts.artifact import Calibration
from steps.contracts.errors import StepError
from steps.evaluate.photo_samples import (
    GOLDEN_BYTES,
    GOLDEN_PHOTOS,
    KINDS,
    KINDS_KEPT,
    LARGEST_ERRORS,
    PHOTOS_PER_KIND,
    Baseline,
    Golden,
    Miscount,
    Miscounts,
)
from steps.photos.statistics import SCHEMA, Levels, measure, read_levels
from steps.shards.reading import Sample
from tests.unit.steps.train.photos import photo


def miscount(number, quantity, predicted, confidence=0.5):
    return Miscount(f"{number:05d}", quantity, predicted, confidence, b"")


def test_larger_errors_come_first_and_then_more_confident_ones():
    miscounts = Miscounts()
    miscounts.add([miscount(1, 0, 1, 0.9), miscount(2, 0, 5, 0.2), miscount(3, 1, 0, 0.95)])
    assert [each.image_id for each in miscounts.largest] == ["00002", "00003", "00001"]


def test_the_most_frequent_kinds_of_error_come_first():
    miscounts = Miscounts()
    for number in range(10):
        miscounts.add([miscount(number, 3, 2)])
    miscounts.add([miscount(20, 0, 5), miscount(21, 4, 5), miscount(22, 4, 5)])
    first, second, third = miscounts.most_frequent()
    assert (first.quantity, first.predicted, first.photos, len(first.examples)) == (3, 2, 10, PHOTOS_PER_KIND)
    assert (second.quantity, second.predicted, second.photos) == (4, 5, 2)
    assert (third.quantity, third.predicted, third.photos) == (0, 5, 1)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=400), st.integers(1, 50))
def test_the_number_of_kept_photos_is_limited(drawn, size):
    miscounts = Miscounts()
    every = [miscount(number, *kind) for number, kind in enumerate(drawn) if kind[0] != kind[1]]
    for start in range(0, len(every), size):
        miscounts.add(every[start : start + size])
    assert len(miscounts.largest) == min(LARGEST_ERRORS, len(every))
    assert len(miscounts.most_frequent()) <= KINDS
    assert len(miscounts._examples) <= KINDS_KEPT
    if every:
        assert miscounts.largest[0].error == max(each.error for each in every)


def add_golden(golden, *photos, classes=(0, 1, 2)):
    """Photos as (id, probabilities, jpeg)."""
    batch = [Sample(image_id=name, quantity=0, jpeg=jpeg) for name, _, jpeg in photos]
    probabilities = np.array([row for _, row, _ in photos], np.float32)
    golden.add(batch, np.array(classes, np.int32)[probabilities.argmax(axis=1)], probabilities, classes)


def written_golden(golden, tmp_path):
    golden.write(tmp_path / "golden.json")
    document = json.loads((tmp_path / "golden.json").read_text())
    assert document["version"] == 1
    return document["photos"]


def test_the_most_confident_photo_of_each_count_is_golden(tmp_path):
    golden = Golden()
    add_golden(golden, ("a", [0.6, 0.4, 0.0], b"A"), ("b", [0.9, 0.1, 0.0], b"B"), ("c", [0.0, 0.2, 0.8], b"C"))
    add_golden(golden, ("d", [0.7, 0.3, 0.0], b"D"))
    first, second = written_golden(golden, tmp_path)
    assert (first["image_id"], first["count"], base64.b64decode(first["jpeg"])) == ("b", 0, b"B")
    assert (second["image_id"], second["count"]) == ("c", 2)
    assert list(first["probabilities"]) == ["0", "1", "2"]
    assert np.allclose(list(first["probabilities"].values()), [0.9, 0.1, 0.0])


def test_the_number_of_golden_photos_is_limited(tmp_path):
    golden, classes = Golden(), tuple(range(40))
    for count in classes:
        row = np.full(40, (0.5 - count / 100) / 39)
        row[count] = 0.5 + count / 100
        add_golden(golden, (str(count), row, b"x"), classes=classes)
    assert [photo["count"] for photo in written_golden(golden, tmp_path)] == list(range(40 - GOLDEN_PHOTOS, 40))


def test_a_photo_above_the_request_limit_of_an_endpoint_is_not_golden(tmp_path):
    golden = Golden()
    add_golden(golden, ("large", [0.9, 0.1, 0.0], b"x" * (GOLDEN_BYTES + 1)), ("small", [0.6, 0.4, 0.0], b"x"))
    assert [photo["image_id"] for photo in written_golden(golden, tmp_path)] == ["small"]


def add_counted(baseline, names, count=1, calibration=None):
    batch = [Sample(image_id=name, quantity=0, jpeg=b"resized") for name in names]
    confidence = np.linspace(0.5, 0.9, len(batch), dtype=np.float32)
    baseline.add(batch, np.full(len(batch), count, np.int32), confidence, calibration)


def put(s3, bucket, name, jpeg):
    s3.put_object(Bucket=bucket, Key=f"raw/bin-images/{name}.jpg", Body=jpeg)


def test_the_raw_photos_are_measured_and_not_those_of_the_shards(s3, bucket, tmp_path):
    raw = photo("a", 2).jpeg
    put(s3, bucket, "a", raw)
    baseline = Baseline()
    add_counted(baseline, ["a"], count=4)
    baseline.write(tmp_path / "b", f"s3://{bucket}/raw")
    table = pq.read_table(tmp_path / "b")
    assert table.schema.equals(SCHEMA)
    assert table.to_pylist() == [
        {"image_id": "a", "predicted": 4, "confidence": 0.5, "sure": None, **vars(measure(raw))}
    ]


def test_a_calibrated_models_baseline_has_its_sure_counts_and_its_levels(s3, bucket, tmp_path):
    for name in "abc":
        put(s3, bucket, name, photo(name, 2).jpeg)
    baseline = Baseline()
    calibration = Calibration(
        temperature=1.0, level=0.9, least_probability=0.1, sure_accuracy=0.98, sure_confidence=0.6, bins=50
    )
    add_counted(baseline, "abc", calibration=calibration)
    baseline.write(tmp_path / "b", f"s3://{bucket}/raw")
    assert pq.read_table(tmp_path / "b")["sure"].to_pylist() == [False, True, True]
    assert read_levels((tmp_path / "b").read_bytes(), "b") == Levels(sets=0.9, sure=0.98)


def test_photos_that_are_gone_or_damaged_are_left_out(s3, bucket, tmp_path):
    put(s3, bucket, "a", photo("a", 2).jpeg)
    put(s3, bucket, "b", b"no photo")
    baseline = Baseline()
    add_counted(baseline, ["a", "b", "c"])
    baseline.write(tmp_path / "b", f"s3://{bucket}/raw/")
    assert pq.read_table(tmp_path / "b")["image_id"].to_pylist() == ["a"]


def test_where_no_photo_can_be_read_the_location_is_named(s3, bucket, tmp_path):
    baseline = Baseline()
    add_counted(baseline, ["a"])
    with pytest.raises(StepError, match=f"s3://{bucket}/other: none of 1 test photos can be read"):
        baseline.write(tmp_path / "b", f"s3://{bucket}/other")


def test_every_photo_is_as_likely_in_the_sample_as_any_other():
    times = np.zeros(40)
    baseline = Baseline(photos=10)
    for _ in range(400):
        baseline._sample.clear()
        baseline._seen = 0
        for start in range(0, 40, 8):
            add_counted(baseline, [str(number) for number in range(start, start + 8)])
        for sampled in baseline._sample:
            times[int(sampled.image_id)] += 1
        assert len(baseline._sample) == 10
    assert times.min() > 60
    assert times.max() < 145
