import numpy as np
import pyarrow as pa
import pytest

from benchmarks.bins import Bin, bins, invented_labels, physical_bins, upload_metadata, upload_photos
from benchmarks.job import prepare, written
from steps.contracts.labels import SCHEMA, read_labels
from steps.contracts.s3_uri import S3Uri
from steps.runtime.s3 import list_objects

METADATA = b'{"EXPECTED_QUANTITY": 2, "BIN_FCSKU_DATA": {"B1": {}, "A1": {}}}'


def test_a_photo_is_uploaded_as_often_as_it_takes_each_time_as_another_bin(s3, bucket):
    uploaded = upload_photos([Bin("1", b"one", METADATA), Bin("2", b"two!", METADATA)], 5, S3Uri(bucket, "raw"))
    rows = uploaded.labels.to_pylist()
    assert [row["image_id"] for row in rows] == [f"{number:06d}" for number in range(5)]
    assert [row["asins"] for row in rows[::2]] == [["0-A1", "0-B1"], ["1-A1", "1-B1"], ["2-A1", "2-B1"]]
    photo = s3.get_object(Bucket=bucket, Key=f"raw/{rows[3]['image_key']}")
    assert photo["Body"].read() == b"two!"
    assert (rows[3]["image_etag"], rows[3]["image_bytes"]) == (photo["ETag"].strip('"'), 4)


def test_metadata_are_uploaded_as_often_as_it_takes(s3, bucket):
    upload_metadata([Bin("1", b"", METADATA)], 3, S3Uri(bucket, "raw"))
    assert [key for key, _ in list_objects(S3Uri(bucket, "raw/"))] == [f"raw/metadata/{n:06d}.json" for n in range(3)]


PHOTO = {"image_id": "1", "quantity": 2, "asins": ["A"], "image_key": "a.jpg", "image_etag": "e", "image_bytes": 9}
PHOTOS = pa.Table.from_pylist([PHOTO, PHOTO | {"image_key": "b.jpg"}], SCHEMA)


def test_invented_labels_keep_the_contract_and_have_the_real_quantities(tmp_path):
    labels = invented_labels(PHOTOS, 5_000)
    assert labels["image_key"].to_pylist()[:3] == ["a.jpg", "b.jpg", "a.jpg"]
    assert labels.schema == SCHEMA
    shares = np.bincount(labels["quantity"], minlength=6) / 5_000
    assert np.abs(shares - np.array([0.027, 0.114, 0.213, 0.250, 0.223, 0.173])).max() < 0.03
    prepare(tmp_path, labels, S3Uri("bucket", "out"))
    assert read_labels(tmp_path / "processing/input/labels").num_rows == 5_000


def test_without_the_real_photos_synthetic_ones_are_drawn(monkeypatch, tmp_path):
    monkeypatch.setenv("ABID_SAMPLE", str(tmp_path))
    large, small = bins(3), bins(3, small=True)
    assert [sample.image_id for sample in large] == [sample.image_id for sample in small] == ["00001", "00002", "00003"]
    assert sum(len(sample.jpeg) for sample in small) < sum(len(sample.jpeg) for sample in large)


def test_a_job_that_has_not_ended_is_no_measurement(s3, bucket, tmp_path):
    prepare(tmp_path, PHOTOS, S3Uri(bucket, "out"))
    with pytest.raises(FileNotFoundError, match=r"part-000\.json"):
        written(tmp_path)


def test_photos_of_a_physical_bin_have_a_number_of_their_own():
    rows = [
        {
            "image_id": f"{n}",
            "quantity": 2,
            "asins": items,
            "image_key": f"{n}.jpg",
            "image_etag": f"e{n}",
            "image_bytes": 10,
            "bin_group": None,
        }
        for n, items in enumerate([["a", "b"], ["a", "b"], ["c"], []])
    ]
    numbers = physical_bins(pa.Table.from_pylist(rows, SCHEMA))
    assert numbers["0"] == numbers["1"]
    assert len(set(numbers.values())) == 3
