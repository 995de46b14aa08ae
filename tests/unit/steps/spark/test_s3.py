"""Parquet in S3 as executors read and write it, without Spark."""

import hashlib
import io
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.spark import s3 as module
from steps.spark.s3 import RangedObject, RowGroup
from tests.unit.steps import ending_credentials, faulty_s3

SCHEMA = pa.schema([pa.field("name", pa.string(), nullable=False), pa.field("number", pa.int32(), nullable=False)])


def parquet(rows: int, row_group_size: int = 10) -> bytes:
    content = io.BytesIO()
    table = pa.table([[f"{number:03d}" for number in range(rows)], pa.array(range(rows), pa.int32())], schema=SCHEMA)
    pq.write_table(table, content, row_group_size=row_group_size)
    return content.getvalue()


def batches_of(groups: list[RowGroup]) -> list[pa.RecordBatch]:
    """As Spark hands tasks over: a batch per task, with a column of structures."""
    tasks = [[vars(group) for group in groups]]
    return [pa.RecordBatch.from_arrays([pa.array(tasks)], ["groups"])]


def read(uri: S3Uri, size: int, schema: pa.Schema = SCHEMA) -> list[dict[str, Any]]:
    groups = module._row_groups((uri, size), schema)
    return pa.Table.from_batches(module._read(iter(batches_of(groups)), schema), schema).to_pylist()


@given(st.data())
def test_a_ranged_object_reads_as_a_file_does(ranged: tuple[bytes, S3Uri], data: st.DataObject) -> None:
    content, uri = ranged
    file, like = RangedObject(uri, len(content)), io.BytesIO(content)
    for _ in range(3):
        place, length = data.draw(st.integers(0, len(content))), data.draw(st.integers(-1, len(content) + 5))
        assert file.seek(place) == like.seek(place)
        assert file.read(length) == like.read(length)
        assert file.tell() == like.tell()
    back = data.draw(st.integers(0, len(content)))
    assert file.seek(-back, io.SEEK_END) == like.seek(-back, io.SEEK_END)
    buffers = bytearray(7), bytearray(7)
    assert file.readinto(buffers[0]) == like.readinto(buffers[1])
    assert buffers[0] == buffers[1]


@pytest.fixture(scope="module")
def ranged(s3: Any) -> tuple[bytes, S3Uri]:
    s3.create_bucket(Bucket="ranged-object")
    content = bytes(range(256))
    s3.put_object(Bucket="ranged-object", Key="bytes", Body=content)
    return content, S3Uri("ranged-object", "bytes")


def test_row_groups_are_read_each_once_and_cast(s3: Any, bucket: str) -> None:
    content = parquet(25)
    s3.put_object(Bucket=bucket, Key="part", Body=content)
    uri = S3Uri(bucket, "part")
    assert [group.number for group in module._row_groups((uri, len(content)), SCHEMA)] == [0, 1, 2]
    assert read(uri, len(content)) == [{"name": f"{number:03d}", "number": number} for number in range(25)]


def test_small_row_groups_share_a_task_and_large_ones_have_their_own() -> None:
    half = module._TASK_BYTES // 2
    sizes = [half, half, 1, half, half, 3 * half, 1]
    groups = [RowGroup("bucket", "key", 100, number, size) for number, size in enumerate(sizes)]
    numbers = [[group[3] for group in task] for (task,) in module._tasks(groups)]
    assert numbers == [[0, 1], [2, 3], [4], [5], [6]]


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (pa.schema([("image_id", pa.string())]), "no column image_id; it has name, number"),
        (pa.schema([("name", pa.int32())]), "not a Parquet file with these columns: "),
    ],
)
def test_a_column_that_is_missing_or_of_another_type_is_named_with_the_object(
    s3: Any, bucket: str, schema: pa.Schema, reason: str
) -> None:
    content = parquet(3).replace(b"000", b"abc")
    s3.put_object(Bucket=bucket, Key="labels/part", Body=content)
    with pytest.raises(StepError) as caught:
        read(S3Uri(bucket, "labels/part"), len(content), schema)
    assert str(caught.value).startswith(f"s3://{bucket}/labels/part: {reason}")
    assert "\n" not in str(caught.value)


def test_an_object_that_is_no_parquet_is_named(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="labels/part", Body=b"words" * 100)
    with pytest.raises(StepError, match=rf"^s3://{bucket}/labels/part: not a Parquet file with these columns: .*"):
        module._row_groups((S3Uri(bucket, "labels/part"), 500), SCHEMA)


def test_a_prefix_without_files_is_named_and_other_files_are_no_data(s3: Any, bucket: str) -> None:
    for key in ("labels/_SUCCESS", "labels/.part.crc", "labels/query.metadata", "labelsish/part", "labels/empty"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"" if key.endswith("empty") else b"content")
    with pytest.raises(StepError, match=rf"^s3://{bucket}/labels: no Parquet file there$"):
        module._files(S3Uri(bucket, "labels"))
    for key in ("labels/20261129_000", "labels/deep/part.parquet"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"content")
    assert [str(uri) for uri, _ in module._files(S3Uri(bucket, "labels/"))] == [
        f"s3://{bucket}/labels/20261129_000",
        f"s3://{bucket}/labels/deep/part.parquet",
    ]


def test_a_reading_that_s3_breaks_off_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    content = parquet(25)
    with faulty_s3.serve(content, lambda number: "503" if number % 3 == 1 else "", monkeypatch) as state:
        rows = read(S3Uri("faulty", "part"), len(content))
    assert len(rows) == 25
    assert len(state.ranges) > 3


def test_credentials_that_end_while_an_executor_works_are_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    content = parquet(25)
    life = timedelta(hours=1)
    with ending_credentials.serve(monkeypatch, life=life, objects={"/ending/part": content}) as account:
        uri = S3Uri("ending", "part")
        groups = module._row_groups((uri, len(content)), SCHEMA)
        account.revoke()
        assert sum(batch.num_rows for batch in module._read(iter(batches_of(groups)), SCHEMA)) == 25
        account.revoke()
        written = list(module._write(iter(named(["a"])), S3Uri("ending", "out"), "bucket", SCHEMA))
        assert len(written) == 1
        assert len(account.accepted) == 3
    assert pq.read_table(io.BytesIO(account.objects["/ending/out/a.parquet"])).num_rows == 1


def named(values: list[str | None], size: int = 3) -> list[pa.RecordBatch]:
    """Rows with these names of objects, in batches of `size`."""
    table = pa.table(
        {
            "number": pa.array(range(len(values)), pa.int64()),
            "bucket": pa.array(values, pa.string()),
            "name": [f"row {number}" for number in range(len(values))],
        }
    )
    return table.to_batches(max_chunksize=size)


@pytest.mark.parametrize("size", [1, 3, 100])
def test_each_name_is_an_object_whose_bytes_do_not_depend_on_the_batches(
    s3: Any, bucket: str, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(module, "ROW_GROUP_ROWS", 4)
    values: list[str | None] = ["a"] * 5 + ["b"] + ["c"] * 8
    written = pa.Table.from_batches(
        module._write(iter(named(values, size)), S3Uri(bucket, "out"), "bucket", SCHEMA)
    ).to_pylist()
    assert [(row["name"], row["row_count"]) for row in written] == [("a", 5), ("b", 1), ("c", 8)]
    digests, groups, rows = [], [], []
    for row in written:
        content = s3.get_object(Bucket=bucket, Key=f"out/{row['name']}.parquet")["Body"].read()
        assert (row["byte_count"], row["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        metadata = pq.read_metadata(io.BytesIO(content))
        groups.append([metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)])
        table = pq.read_table(io.BytesIO(content))
        assert table.schema.equals(SCHEMA)
        rows += table["number"].to_pylist()
        digests.append(row["sha256"])
    assert groups == [[4, 1], [1], [4, 4]]
    assert rows == list(range(14))
    whole = list(module._write(iter(named(values, 14)), S3Uri(bucket, "again"), "bucket", SCHEMA))
    assert pa.Table.from_batches(whole)["sha256"].to_pylist() == digests


@pytest.mark.parametrize(
    ("values", "schema", "reason"),
    [
        (["a", None], SCHEMA, "a row has no name of an object"),
        (["a/b"], SCHEMA, "'a/b' is no name of an object below s3://"),
        ([""], SCHEMA, "'' is no name of an object below s3://"),
        (["a"], pa.schema([("other", pa.string())]), "rows that are not of the schema of their object: "),
        (["a"], pa.schema([("name", pa.int32())]), "rows that are not of the schema of their object: "),
    ],
)
def test_rows_that_cannot_be_written_fail_before_anything_is(
    s3: Any, bucket: str, values: list[str | None], schema: pa.Schema, reason: str
) -> None:
    with pytest.raises(StepError, match=f"^{reason}"):
        list(module._write(iter(named(values)), S3Uri(bucket, "out"), "bucket", schema))
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
