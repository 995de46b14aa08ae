"""What consoles and drivers ask of Athena about the catalog: tables, views, partitions, prepared statements."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.unit.pipeline.local.athena.front import Front

Query = Callable[..., dict[str, Any]]
Rows = Callable[..., list[list[str | None]]]
Reason = Callable[..., str]


@pytest.fixture(scope="module")
def numbers(query: Query, bucket: str) -> str:
    """A partitioned Parquet table of three rows. Returns its location."""
    location = f"s3://{bucket}/numbers/"
    created = query(
        f"CREATE TABLE numbers WITH (external_location = '{location}', partitioned_by = ARRAY['color']) AS"
        " SELECT * FROM (VALUES (1, 'red'), (2, 'red'), (3, 'blue')) AS t (n, color)"
    )
    assert created["Status"]["State"] == "SUCCEEDED", created["Status"]
    return location


@pytest.fixture
def lines(aws: Front, query: Query) -> Callable[[str], list[str]]:
    """Run a DDL or utility statement that succeeds. Returns the lines of its result."""

    def run(text: str) -> list[str]:
        execution = query(text)
        assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"]
        result = aws.client("athena").get_query_results(QueryExecutionId=execution["QueryExecutionId"])
        return [row["Data"][0].get("VarCharValue", "") for row in result["ResultSet"]["Rows"]]

    return run


# ------------------------------------------------------------------------------------------------------- metadata


def test_databases_and_tables_are_listed_and_described(aws: Front, database: str, numbers: str) -> None:
    client, catalog = aws.client("athena"), {"CatalogName": "AwsDataCatalog"}
    names = [
        item["Name"]
        for page in client.get_paginator("list_databases").paginate(**catalog)
        for item in page["DatabaseList"]
    ]
    assert database in names
    assert client.get_database(**catalog, DatabaseName=database)["Database"]["Name"] == database
    tables = client.list_table_metadata(**catalog, DatabaseName=database, Expression="num.*")["TableMetadataList"]
    (listed,) = tables
    table = client.get_table_metadata(**catalog, DatabaseName=database, TableName="numbers")["TableMetadata"]
    assert listed == table
    assert table["TableType"] == "EXTERNAL_TABLE"
    assert table["Columns"] == [{"Name": "n", "Type": "int"}]
    assert table["PartitionKeys"] == [{"Name": "color", "Type": "string"}]
    assert table["Parameters"]["location"] == numbers
    assert table["Parameters"]["serde.serialization.lib"].endswith("ParquetHiveSerDe")
    assert client.list_table_metadata(**catalog, DatabaseName=database, Expression="umber")["TableMetadataList"] == []
    assert client.list_data_catalogs()["DataCatalogsSummary"] == [{"CatalogName": "AwsDataCatalog", "Type": "GLUE"}]
    assert client.get_data_catalog(Name="awsdatacatalog")["DataCatalog"]["Type"] == "GLUE"


@pytest.mark.parametrize(
    ("operation", "request_", "code"),
    [
        ("get_database", {"CatalogName": "AwsDataCatalog", "DatabaseName": "absent"}, "MetadataException"),
        ("list_table_metadata", {"CatalogName": "AwsDataCatalog", "DatabaseName": "absent"}, "MetadataException"),
        (
            "get_table_metadata",
            {"CatalogName": "AwsDataCatalog", "DatabaseName": "absent", "TableName": "t"},
            "MetadataException",
        ),
        ("list_databases", {"CatalogName": "other"}, "InvalidRequestException"),
        ("get_data_catalog", {"Name": "other"}, "InvalidRequestException"),
        ("list_databases", {"CatalogName": "AwsDataCatalog", "NextToken": "x"}, "InvalidRequestException"),
    ],
)
def test_what_is_not_in_the_catalog_is_an_error(
    aws: Front, operation: str, request_: dict[str, str], code: str
) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(aws.client("athena"), operation)(**request_)
    assert caught.value.response["Error"]["Code"] == code


# ----------------------------------------------------------------------------------------------------------- views


def test_a_view_is_queried_like_a_table_and_may_read_other_views(
    query: Query, rows: Rows, lines: Callable[[str], list[str]], numbers: str, database: str
) -> None:
    first = "SELECT n, color FROM numbers WHERE n > 1"
    assert query(f"CREATE VIEW larger AS {first}")["SubstatementType"] == "CREATE_VIEW"
    assert query(f"CREATE VIEW {database}.total AS SELECT l.*, n * 10 AS tenfold FROM larger AS l;")["Status"][
        "State"
    ] == ("SUCCEEDED")
    assert rows("SELECT * FROM total ORDER BY n") == [["2", "red", "20"], ["3", "blue", "30"]]
    assert rows("SELECT count(*) FROM larger JOIN numbers USING (n)") == [["2"]]
    assert lines("SHOW VIEWS") == ["larger", "total"]
    assert {"larger", "numbers", "total"} <= set(lines("SHOW TABLES"))
    assert lines("SHOW CREATE VIEW larger") == [f"CREATE VIEW {database}.larger AS", first]
    assert [line.split() for line in lines("DESCRIBE total")] == [["n", "int"], ["color", "string"], ["tenfold", "int"]]
    query("CREATE OR REPLACE VIEW larger AS SELECT n, color FROM numbers WHERE n > 2")
    assert rows("SELECT n FROM total") == [["3"]]
    assert query("DROP VIEW total")["Status"]["State"] == "SUCCEEDED"
    assert lines("SHOW VIEWS") == ["larger"]
    query("DROP VIEW larger")


def test_a_view_that_cannot_be_is_refused(query: Query, reason: Reason, numbers: str) -> None:
    assert reason("CREATE VIEW v AS SELECT nothing FROM numbers").startswith("COLUMN_NOT_FOUND")
    assert "Column name not specified" in reason("CREATE VIEW v AS SELECT n + 1 FROM numbers")
    assert reason("DROP VIEW v").startswith("TABLE_NOT_FOUND: View")
    assert query("DROP VIEW IF EXISTS v")["Status"]["State"] == "SUCCEEDED"
    assert reason("DROP VIEW numbers").startswith("TABLE_NOT_FOUND: View")
    assert reason("CREATE OR REPLACE VIEW numbers AS SELECT 1 AS a").startswith("TABLE_ALREADY_EXISTS")
    query("CREATE VIEW v AS SELECT n FROM numbers")
    assert reason("CREATE VIEW v AS SELECT n FROM numbers").startswith("VIEW_ALREADY_EXISTS")
    assert "is recursive" in [query("CREATE OR REPLACE VIEW v AS SELECT n FROM v"), reason("SELECT * FROM v")][1]
    query("DROP VIEW v")


# --------------------------------------------------------------------------------------------- what a table looks like


def test_show_create_table_can_be_run_again(
    query: Query, rows: Rows, lines: Callable[[str], list[str]], bucket: str, database: str, aws: Front
) -> None:
    location = f"s3://{bucket}/shown/"
    aws.connection.s3.put_object(Bucket=bucket, Key="shown/1.json", Body=json.dumps({"a": 1}).encode())
    query(
        "CREATE EXTERNAL TABLE shown (a int, b map<string,int>) ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'"
        f" WITH SERDEPROPERTIES ('ignore.malformed.json' = 'true') LOCATION '{location}' TBLPROPERTIES ('k' = 'v')"
    )
    text = lines("SHOW CREATE TABLE shown")
    assert text[0] == f"CREATE EXTERNAL TABLE `{database}.shown`("
    query("DROP TABLE shown")
    again = "\n".join(text).replace(f"`{database}.shown`", "shown")
    # Athena's own DDL has the formats too, which the local Athena takes from the SerDe.
    start, end = again.index("STORED AS"), again.index("LOCATION")
    assert query(again[:start] + again[end:])["Status"]["State"] == "SUCCEEDED"
    assert rows("SELECT a FROM shown") == [["1"]]
    assert lines("SHOW CREATE TABLE shown") == text


def test_show_create_table_of_a_partitioned_one_and_of_what_is_no_table(
    query: Query, reason: Reason, lines: Callable[[str], list[str]], numbers: str
) -> None:
    text = lines("show create table numbers")
    assert text[2:4] == ["PARTITIONED BY ( ", "  `color` string)"]
    assert f"  '{numbers}'" in text
    assert reason("SHOW CREATE TABLE absent").startswith("TABLE_NOT_FOUND")
    assert "is a table" in reason("SHOW CREATE VIEW numbers")


def test_msck_adds_the_partitions_of_folders_once(
    lines: Callable[[str], list[str]], aws: Front, database: str, numbers: str
) -> None:
    def values() -> set[tuple[str, ...]]:
        partitions = aws.connection.glue.get_partitions(DatabaseName=database, TableName="numbers")["Partitions"]
        return {tuple(partition["Values"]) for partition in partitions}

    text = lines("MSCK REPAIR TABLE numbers")
    assert text[0].startswith(f"Partitions not in metastore:\t{database}.numbers:")
    assert text[1:] == [f"Repair: Added partition to metastore {database}.numbers:color={c}" for c in ("blue", "red")]
    assert values() == {("red",), ("blue",)}
    assert lines(f"msck repair table {database}.numbers;") == []
    assert len(values()) == 2


# ------------------------------------------------------------------------------------------------ prepared statements


def test_a_statement_that_the_api_prepared_is_executed_with_its_values(
    aws: Front, rows: Rows, reason: Reason, numbers: str
) -> None:
    client, group = aws.client("athena"), {"WorkGroup": "primary"}
    name = f"s_{uuid.uuid4().hex[:8]}"
    client.create_prepared_statement(
        StatementName=name, **group, QueryStatement="SELECT n FROM numbers WHERE color = ? AND n > ?"
    )
    assert rows(f"EXECUTE {name} USING 'red', 1") == [["2"]]
    assert rows(f"execute {name} using 'a, b', 1") == []
    assert rows(f"EXECUTE {name}", "'blue'", "0") == [["3"]]
    assert "Incorrect number of parameters" in reason(f"EXECUTE {name} USING 1")
    assert "is not a literal" in reason(f"EXECUTE {name} USING color, 1")
    with pytest.raises(client.exceptions.InvalidRequestException, match="already exists"):
        client.create_prepared_statement(StatementName=name, **group, QueryStatement="SELECT 1")
    client.update_prepared_statement(StatementName=name, **group, QueryStatement="SELECT 5 AS five", Description="d")
    assert rows(f"EXECUTE {name}") == [["5"]]
    described = client.get_prepared_statement(StatementName=name, **group)["PreparedStatement"]
    assert (described["QueryStatement"], described["Description"]) == ("SELECT 5 AS five", "d")
    assert name in [item["StatementName"] for item in client.list_prepared_statements(**group)["PreparedStatements"]]
    batch = client.batch_get_prepared_statement(PreparedStatementNames=[name, "absent"], **group)
    assert [item["StatementName"] for item in batch["PreparedStatements"]] == [name]
    assert [item["StatementName"] for item in batch["UnprocessedPreparedStatementNames"]] == ["absent"]
    client.delete_prepared_statement(StatementName=name, **group)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_prepared_statement(StatementName=name, **group)
    assert "was not found" in reason(f"EXECUTE {name}")


def test_a_statement_is_prepared_and_dropped_in_sql(query: Query, rows: Rows, reason: Reason, numbers: str) -> None:
    assert query("PREPARE sized FROM SELECT n FROM numbers WHERE n > ?;")["Status"]["State"] == "SUCCEEDED"
    assert rows("EXECUTE sized USING 2") == [["3"]]
    query("PREPARE sized FROM SELECT 7 AS n")
    assert rows("EXECUTE sized") == [["7"]]
    assert query("DEALLOCATE PREPARE sized")["Status"]["State"] == "SUCCEEDED"
    assert "was not found" in reason("EXECUTE sized")
    assert "was not found" in reason("DEALLOCATE PREPARE sized")
    query("PREPARE loop FROM EXECUTE loop")
    assert "is no EXECUTE" in reason("EXECUTE loop")


def test_a_prepared_text_is_one_statement(aws: Front, bucket: str) -> None:
    client = aws.client("athena")
    with pytest.raises(client.exceptions.InvalidRequestException, match="Only one sql statement"):
        client.start_query_execution(
            QueryString="PREPARE two FROM SELECT 1; DROP TABLE t",
            ResultConfiguration={"OutputLocation": f"s3://{bucket}/results/"},
        )
