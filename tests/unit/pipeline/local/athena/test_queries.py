"""What statements do, through boto3: the local Athena over a real S3 server and moto's Glue."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.unit.pipeline.local.athena.front import Front

Query = Callable[..., dict[str, Any]]
Rows = Callable[..., list[list[str | None]]]
Reason = Callable[..., str]
Put = Callable[[str, str], None]

BIN = {"BIN_FCSKU_DATA": {"A1": {"asin": "A1", "name": 'a "cup"', "quantity": 2}}, "EXPECTED_QUANTITY": 2}
ION_COLUMNS = (
    "bin_fcsku_data map<string,struct<asin:string,name:string,quantity:int>>, expected_quantity decimal(20,10)"
)


@pytest.fixture(scope="module")
def bins(query: Query, put: Put, bucket: str) -> str:
    """An Ion table over three pretty-printed files. Returns its location."""
    return make_bins(query, put, bucket, "bins")


def make_bins(query: Query, put: Put, bucket: str, table: str) -> str:
    for quantity in (1, 2, 3):
        put(f"{table}/{quantity}.json", json.dumps({**BIN, "EXPECTED_QUANTITY": quantity}, indent=4))
    location = f"s3://{bucket}/{table}/"
    created = query(f"CREATE EXTERNAL TABLE {table} ({ION_COLUMNS}) STORED AS ION LOCATION '{location}'")
    assert created["Status"]["State"] == "SUCCEEDED", created["Status"]
    return location


def keys(s3: Any, bucket: str, prefix: str) -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])]


def test_pretty_printed_json_is_read_through_the_ion_serde(rows: Rows, bins: str) -> None:
    assert rows("SELECT CAST(expected_quantity AS integer), bin_fcsku_data['A1'].name FROM bins ORDER BY 1") == [
        ["1", 'a "cup"'],
        ["2", 'a "cup"'],
        ["3", 'a "cup"'],
    ]


def test_a_serde_of_lines_fails_on_pretty_printed_json(query: Query, reason: Reason, put: Put, bucket: str) -> None:
    put("lines/1.json", json.dumps(BIN, indent=4))
    query(
        "CREATE EXTERNAL TABLE lines (expected_quantity int) ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe' "
        f"LOCATION 's3://{bucket}/lines/'"
    )
    assert reason("SELECT * FROM lines").startswith("HIVE_CURSOR_ERROR")


def test_one_bad_file_fails_a_whole_query_over_ion_and_is_named(
    query: Query, reason: Reason, put: Put, bucket: str
) -> None:
    location = make_bins(query, put, bucket, "spoilt")
    put("spoilt/bad.json", '{"EXPECTED_QUANTITY": "2"}')
    why = reason("SELECT count(*) FROM spoilt")
    assert why.startswith("HIVE_BAD_DATA")
    assert f"{location}bad.json" in why


def test_hidden_objects_are_not_read(query: Query, rows: Rows, put: Put, bucket: str) -> None:
    make_bins(query, put, bucket, "hiding")
    put("hiding/_SUCCESS", "no json")
    put("hiding/.hidden", "no json")
    assert rows("SELECT count(*) FROM hiding") == [["3"]]


def test_the_path_is_a_column_that_a_star_does_not_show(rows: Rows, query: Query, bins: str, aws: Front) -> None:
    assert rows('SELECT "$path" FROM bins WHERE expected_quantity = ?', "2") == [[f"{bins}2.json"]]
    execution = query("SELECT *, 1 FROM bins")
    result = aws.client("athena").get_query_results(QueryExecutionId=execution["QueryExecutionId"])
    columns = result["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
    assert [column["Name"] for column in columns] == ["bin_fcsku_data", "expected_quantity", "_col2"]


def test_statistics_count_the_bytes_of_the_table(query: Query, s3: Any, bucket: str, bins: str) -> None:
    listed = s3.list_objects_v2(Bucket=bucket, Prefix="bins/")["Contents"]
    statistics = query("SELECT count(*) FROM bins")["Statistics"]
    assert statistics["DataScannedInBytes"] == sum(entry["Size"] for entry in listed)
    assert statistics["EngineExecutionTimeInMillis"] > 0


def test_create_table_as_writes_parquet_and_registers_the_table(
    query: Query, rows: Rows, aws: Front, s3: Any, bucket: str, bins: str, database: str
) -> None:
    execution = query(
        f"CREATE TABLE kept WITH (format = 'PARQUET', write_compression = 'SNAPPY', "
        f"external_location = 's3://{bucket}/kept/') AS "
        "SELECT CAST(expected_quantity AS integer) AS quantity, bin_fcsku_data AS items FROM bins "
        "WHERE expected_quantity >= ?",
        "2",
    )
    assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"]
    (key,) = keys(s3, bucket, "kept/")
    written = pq.ParquetFile(io.BytesIO(s3.get_object(Bucket=bucket, Key=key)["Body"].read()))
    assert written.metadata.row_group(0).column(0).compression == "SNAPPY"
    assert sorted(written.read(["quantity"])["quantity"].to_pylist()) == [2, 3]
    manifest = execution["Statistics"]["DataManifestLocation"].split("/", 3)[3]
    assert s3.get_object(Bucket=bucket, Key=manifest)["Body"].read().decode() == f"s3://{bucket}/{key}\n"
    table = aws.client("glue").get_table(DatabaseName=database, Name="kept")["Table"]
    assert [column["Type"] for column in table["StorageDescriptor"]["Columns"]] == [
        "int",
        "map<string,struct<asin:string,name:string,quantity:int>>",
    ]
    assert rows("SELECT quantity, items['A1'].quantity FROM kept ORDER BY 1") == [["2", "2"], ["3", "2"]]


def test_create_table_as_and_unload_want_an_empty_location(reason: Reason, bins: str) -> None:
    why = reason(f"CREATE TABLE taken WITH (external_location = '{bins}') AS SELECT 1 AS a")
    assert why.startswith("HIVE_PATH_ALREADY_EXISTS")
    why = reason(f"UNLOAD (SELECT 1 AS a) TO '{bins}' WITH (format = 'PARQUET')")
    assert why.startswith("HIVE_PATH_ALREADY_EXISTS")


def test_create_table_as_of_no_rows_leaves_no_object(query: Query, rows: Rows, s3: Any, bucket: str, bins: str) -> None:
    query(f"CREATE TABLE none WITH (external_location = 's3://{bucket}/none/') AS SELECT 1 AS a FROM bins WHERE 1 = 0")
    assert keys(s3, bucket, "none/") == []
    assert rows("SELECT * FROM none") == []


def test_create_table_as_partitions(query: Query, rows: Rows, s3: Any, bucket: str, bins: str) -> None:
    execution = query(
        f"CREATE TABLE parts WITH (external_location = 's3://{bucket}/parts/', partitioned_by = ARRAY['quantity']) AS "
        'SELECT "$path" AS path, CAST(expected_quantity AS integer) AS quantity FROM bins'
    )
    assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"]
    folders = [key.split("/")[1] for key in keys(s3, bucket, "parts/")]
    assert folders == ["quantity=1", "quantity=2", "quantity=3"]
    assert rows("SELECT path, quantity FROM parts WHERE quantity = 3") == [[f"{bins}3.json", "3"]]


def test_create_table_as_writes_one_file_a_bucket(
    query: Query, rows: Rows, aws: Front, s3: Any, bucket: str, database: str
) -> None:
    execution = query(
        f"CREATE TABLE buckets WITH (external_location = 's3://{bucket}/buckets/', format = 'PARQUET', "
        "bucketed_by = ARRAY['Id'], bucket_count = 3) AS SELECT CAST(x AS varchar) AS id, x AS number "
        "FROM UNNEST(sequence(1, 500)) AS a(x)"
    )
    assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"]
    assert [key.rpartition("_")[2] for key in keys(s3, bucket, "buckets/")] == [f"bucket-0000{n}" for n in range(3)]
    counts = rows('SELECT "$path", count(*), count(DISTINCT id) FROM buckets GROUP BY 1')
    assert len(counts) == 3
    assert sum(int(str(line[1])) for line in counts) == 500
    assert all(int(str(line[1])) > 100 for line in counts)
    storage = aws.client("glue").get_table(DatabaseName=database, Name="buckets")["Table"]["StorageDescriptor"]
    assert (storage["BucketColumns"], storage["NumberOfBuckets"]) == (["id"], 3)
    assert [column["Name"] for column in storage["Columns"]] == ["id", "number"]


def test_an_empty_bucket_has_no_file(query: Query, rows: Rows, s3: Any, bucket: str) -> None:
    query(
        f"CREATE TABLE lonely WITH (external_location = 's3://{bucket}/lonely/', bucketed_by = ARRAY['id'], "
        "bucket_count = 7) AS SELECT 'a' AS id"
    )
    assert len(keys(s3, bucket, "lonely/")) == 1
    assert rows("SELECT * FROM lonely") == [["a"]]


def test_a_partition_has_buckets_of_its_own(query: Query, rows: Rows, s3: Any, bucket: str) -> None:
    execution = query(
        f"CREATE TABLE both WITH (external_location = 's3://{bucket}/both/', partitioned_by = ARRAY['half'], "
        "bucketed_by = ARRAY['x'], bucket_count = 2) AS SELECT x, x % 2 AS half FROM UNNEST(sequence(1, 100)) AS a(x)"
    )
    assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"]
    assert len(keys(s3, bucket, "both/half=0/")) == len(keys(s3, bucket, "both/half=1/")) == 2
    assert rows("SELECT half, count(*), sum(x) FROM both GROUP BY half ORDER BY 1") == [
        ["0", "50", "2550"],
        ["1", "50", "2500"],
    ]


@pytest.mark.parametrize(
    ("partitions", "buckets"), [("partitioned_by = ARRAY['b']", ""), ("", "101"), ("partitioned_by = ARRAY['b']", "2")]
)
def test_more_than_a_hundred_writers_are_too_many(reason: Reason, bucket: str, partitions: str, buckets: str) -> None:
    bucketed = f"bucketed_by = ARRAY['a'], bucket_count = {buckets}" if buckets else ""
    properties = ", ".join(
        part for part in (f"external_location = 's3://{bucket}/many/'", partitions, bucketed) if part
    )
    numbers = 51 if partitions and buckets else 101
    why = reason(
        f"CREATE TABLE many WITH ({properties}) AS SELECT x AS a, x AS b FROM UNNEST(sequence(1, {numbers})) AS n(x)"
    )
    assert why.startswith("HIVE_TOO_MANY_OPEN_PARTITIONS: Exceeded limit of 100 open writers")


def test_bucket_columns_are_columns(reason: Reason) -> None:
    why = reason("CREATE TABLE x WITH (bucketed_by = ARRAY['b'], bucket_count = 2) AS SELECT 1 AS a")
    assert why.startswith("INVALID_TABLE_PROPERTY: Bucketing columns ['b'] not present in schema")


def test_partition_columns_come_last(reason: Reason, bucket: str, bins: str) -> None:
    location = f"s3://{bucket}/disordered/"
    why = reason(
        f"CREATE TABLE disordered WITH (external_location = '{location}', partitioned_by = ARRAY['a']) AS "
        "SELECT 1 AS a, 2 AS b FROM bins"
    )
    assert why.startswith("HIVE_COLUMN_ORDER_MISMATCH")


def test_create_table_as_wants_column_names(reason: Reason, bins: str) -> None:
    assert "Column name not specified at position 2" in reason("CREATE TABLE x AS SELECT 1 AS a, count(*) FROM bins")


def test_unload_writes_parquet(query: Query, s3: Any, bucket: str, bins: str) -> None:
    query(
        f"UNLOAD (SELECT expected_quantity AS q FROM bins WHERE expected_quantity > ?) TO 's3://{bucket}/out/' "
        "WITH (format = 'PARQUET', compression = 'SNAPPY')",
        "1",
    )
    (key,) = keys(s3, bucket, "out/")
    body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    assert pq.read_table(io.BytesIO(body)).num_rows == 2


def test_a_result_quotes_values_and_leaves_null_bare(query: Query, s3: Any, bucket: str) -> None:
    execution = query(
        "SELECT 'a \"b\"' AS text, CAST(NULL AS varchar) AS nothing, true AS yes, 1.5 AS decimal, 2e0 AS double, "
        "1e10 AS big, ARRAY[1, NULL] AS list, 7 / 2 AS whole, sum(1) AS total"
    )
    key = execution["ResultConfiguration"]["OutputLocation"].split("/", 3)[3]
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode() == (
        '"text","nothing","yes","decimal","double","big","list","whole","total"\n'
        '"a ""b""",,"true","1.5","2.0","1.0E10","[1, null]","3","1"\n'
    )


def test_drop_table_keeps_the_data(query: Query, put: Put, s3: Any, bucket: str, reason: Reason) -> None:
    make_bins(query, put, bucket, "dropped")
    assert query("DROP TABLE dropped")["Status"]["State"] == "SUCCEEDED"
    assert len(keys(s3, bucket, "dropped/")) == 3
    assert reason("SELECT * FROM dropped").startswith("TABLE_NOT_FOUND")
    assert "Table not found" in reason("DROP TABLE dropped")
    assert query("DROP TABLE IF EXISTS dropped")["Status"]["State"] == "SUCCEEDED"


def test_a_query_in_a_missing_database_fails(reason: Reason) -> None:
    assert reason("SELECT * FROM t", within="absent").startswith("SCHEMA_NOT_FOUND")
    assert "Database does not exist: absent" in reason(
        "CREATE EXTERNAL TABLE t (a int) STORED AS ION LOCATION 's3://some-bucket/x/'", within="absent"
    )


def test_a_table_over_a_missing_bucket_fails(query: Query, reason: Reason) -> None:
    query("CREATE EXTERNAL TABLE t (a int) STORED AS ION LOCATION 's3://no-such-bucket-here/x/'")
    assert "NoSuchBucket" in reason("SELECT * FROM t")


def test_a_column_that_is_not_there_is_named(reason: Reason, bins: str) -> None:
    assert reason("SELECT nothing FROM bins") == "COLUMN_NOT_FOUND: Column 'nothing' cannot be resolved"


def test_a_string_parameter_brings_its_quotes(rows: Rows, bins: str) -> None:
    assert rows('SELECT count(*) FROM bins WHERE "$path" LIKE ? AND expected_quantity < ?', "'%.json'", "3") == [["2"]]


def test_what_is_not_supported_fails_and_is_named(reason: Reason) -> None:
    assert reason("SHOW PARTITIONS t") == "SYNTAX_ERROR: the statement SHOW is not supported by the local Athena"
    assert "READ_CSV('/etc/passwd')" in reason("SELECT * FROM read_csv('/etc/passwd')")


def test_show_and_describe(query: Query, s3: Any, bucket: str, bins: str) -> None:
    def text(statement: str) -> str:
        location = query(statement)["ResultConfiguration"]["OutputLocation"]
        return str(s3.get_object(Bucket=bucket, Key=location.split("/", 3)[3])["Body"].read().decode())

    assert "bins" in text("SHOW TABLES").splitlines()
    assert text("DESCRIBE bins").splitlines()[1].split() == ["expected_quantity", "decimal(20,10)"]
