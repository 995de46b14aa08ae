"""Metadata files read without Athena, from a real S3 server and from a faulty one."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steps.contracts.consolidated import SCHEMA
from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.query import direct
from tests.unit.steps.faulty_s3 import serve
from tests.unit.steps.query.conftest import bin_metadata

Put = Callable[..., None]


@pytest.fixture
def put(s3: Any, bucket: str) -> Put:
    """Put metadata files below `raw`, by id."""

    def files(**documents: bytes) -> None:
        for image_id, document in documents.items():
            s3.put_object(Bucket=bucket, Key=f"raw/{image_id}.json", Body=document)

    return files


def written(s3: Any, bucket: str) -> list[pa.Table]:
    """The Parquet files below `out`."""
    listed = s3.list_objects_v2(Bucket=bucket, Prefix="out/").get("Contents", [])
    bodies = [s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read() for entry in listed]
    return [pq.read_table(io.BytesIO(body)) for body in bodies]


def encoded(*bin: Any) -> bytes:
    return json.dumps(bin_metadata(*bin), indent=4).encode()


def test_files_come_in_the_order_asked_for(put: Put, bucket: str) -> None:
    ids = [f"{number:03d}" for number in range(300)]
    put(**{image_id: image_id.encode() for image_id in ids})
    asked = ids[::-1]
    assert list(direct.read(S3Uri(bucket, "raw"), asked, bytes.decode)) == [(image_id, image_id) for image_id in asked]


def test_ids_are_taken_as_they_are_needed(put: Put, bucket: str) -> None:
    put(a=b"1")
    taken = 0

    def endless() -> Any:
        nonlocal taken
        while True:
            taken += 1
            yield "a"

    rows = direct.read(S3Uri(bucket, "raw"), endless(), len)
    assert next(rows) == ("a", 1)
    rows.close()
    assert taken == direct.FILES_PER_BATCH * direct.BATCHES_AHEAD
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("metadata")]


def test_rows_are_split_into_files_and_row_groups(
    put: Put, s3: Any, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "ROWS_PER_GROUP", 4)
    monkeypatch.setattr(direct, "ROWS_PER_FILE", 8)
    ids = [f"{number:02d}" for number in range(18)]
    put(**{image_id: encoded(number % 3, *"AB"[: number % 3]) for number, image_id in enumerate(ids)})
    assert direct.consolidate(S3Uri(bucket, "raw"), ids, S3Uri(bucket, "out")) == 0
    tables = written(s3, bucket)
    assert [table.num_rows for table in tables] == [8, 8, 2]
    whole = pa.concat_tables(tables)
    assert whole.schema == SCHEMA
    assert whole["image_id"].to_pylist() == ids
    nothing = {"unit": None, "value": None}
    item = {"asin": "A", "name": "A, boxed", "quantity": 1, "weight": {"unit": "pounds", "value": 0.4}}
    item |= dict.fromkeys(("length", "width", "height"), nothing)
    assert whole["items"].to_pylist()[:2] == [[], [("A", item)]]
    assert whole["path"][0].as_py() == f"s3://{bucket}/raw/00.json"


def test_malformed_files_and_files_that_are_gone_are_named_and_counted(
    put: Put, s3: Any, bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    put(good=encoded(1, "A"), bad=b'{"EXPECTED_QUANTITY": 1,', surrogate=b'{"BIN_FCSKU_DATA": {"\\ud800": {}}}')
    ids = ["bad", "gone", "good", "surrogate"]
    assert direct.consolidate(S3Uri(bucket, "raw"), ids, S3Uri(bucket, "out")) == 3
    assert pa.concat_tables(written(s3, bucket))["image_id"].to_pylist() == ["good"]
    assert f"s3://{bucket}/raw/bad.json is left out: it is malformed" in caplog.text
    assert f"s3://{bucket}/raw/gone.json is left out: it was deleted after it was listed" in caplog.text
    assert "surrogate.json is left out" in caplog.text


def test_nothing_to_read_is_an_empty_file(s3: Any, bucket: str) -> None:
    assert direct.consolidate(S3Uri(bucket, "raw"), [], S3Uri(bucket, "out")) == 0
    (table,) = written(s3, bucket)
    assert (table.num_rows, table.schema) == (0, SCHEMA)


def test_a_missing_bucket_is_no_missing_file(s3: Any) -> None:
    with pytest.raises(StepError, match=r"s3://no-such-bucket-here/raw/1.json cannot be read: NoSuchBucket"):
        list(direct.read(S3Uri("no-such-bucket-here", "raw"), ["1"], len))


@pytest.fixture
def _default_session() -> Any:
    boto3.setup_default_session()
    yield
    boto3.setup_default_session()


@pytest.mark.parametrize("fault", ["503", "cut"])
@pytest.mark.usefixtures("_default_session")
def test_busy_servers_and_broken_connections_are_tried_again(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    body = encoded(2, "A", "B")
    with serve(body, lambda request: fault if request == 1 else "", monkeypatch) as server:
        assert list(direct.read(S3Uri("any-bucket", "raw"), ["1"], bytes)) == [("1", body)]
    assert len(server.ranges) == 2


@pytest.mark.usefixtures("_default_session")
def test_a_file_that_may_not_be_read_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        serve(b"{}", lambda _: "403", monkeypatch),
        pytest.raises(StepError, match=r"s3://any-bucket/raw/1.json cannot be read: SlowDown"),
    ):
        list(direct.read(S3Uri("any-bucket", "raw"), ["1"], len))
