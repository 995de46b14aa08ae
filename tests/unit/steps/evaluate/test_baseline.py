"""The baseline of a monitor: a sample of the test photos, measured as they lie at the raw location."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from steps.contracts.errors import StepError
from steps.evaluate.baseline import Baseline
from steps.photos.statistics import SCHEMA, measure
from steps.shards.reading import Sample
from tests.unit.steps.train.photos import photo


def add(baseline, names, count=1):
    batch = [Sample(image_id=name, quantity=0, jpeg=b"resized") for name in names]
    baseline.add(batch, np.full(len(batch), count, np.int32), np.full(len(batch), 0.5, np.float32))


def put(s3, bucket, name, jpeg):
    s3.put_object(Bucket=bucket, Key=f"raw/bin-images/{name}.jpg", Body=jpeg)


def test_the_raw_photos_are_measured_and_not_those_of_the_shards(s3, bucket, tmp_path):
    raw = photo("a", 2).jpeg
    put(s3, bucket, "a", raw)
    baseline = Baseline()
    add(baseline, ["a"], count=4)
    baseline.write(tmp_path / "b", f"s3://{bucket}/raw")
    table = pq.read_table(tmp_path / "b")
    assert table.schema.equals(SCHEMA)
    assert table.to_pylist() == [{"image_id": "a", "predicted": 4, "confidence": 0.5, **vars(measure(raw))}]


def test_photos_that_are_gone_or_damaged_are_left_out(s3, bucket, tmp_path):
    put(s3, bucket, "a", photo("a", 2).jpeg)
    put(s3, bucket, "b", b"no photo")
    baseline = Baseline()
    add(baseline, ["a", "b", "c"])
    baseline.write(tmp_path / "b", f"s3://{bucket}/raw/")
    assert pq.read_table(tmp_path / "b")["image_id"].to_pylist() == ["a"]


def test_where_none_is_there_the_location_is_named(s3, bucket, tmp_path):
    baseline = Baseline()
    add(baseline, ["a"])
    with pytest.raises(StepError, match=f"s3://{bucket}/other: none of 1 test photos is there"):
        baseline.write(tmp_path / "b", f"s3://{bucket}/other")


def test_every_photo_is_as_likely_in_the_sample_as_any_other():
    times = np.zeros(40)
    baseline = Baseline(photos=10)
    for _ in range(400):
        baseline._kept.clear()
        baseline._seen = 0
        for start in range(0, 40, 8):
            add(baseline, [str(number) for number in range(start, start + 8)])
        for one in baseline._kept:
            times[int(one.image_id)] += 1
        assert len(baseline._kept) == 10
    assert times.min() > 60
    assert times.max() < 145
