"""Text -> statement: what is refused at once, what fails as unsupported, and where parameters go."""

from __future__ import annotations

import pytest

from pipeline.local.athena.parsing import parse
from pipeline.local.athena.serdes import ION, OPENX
from pipeline.local.athena.statements import (
    CreateExternalTable,
    CreateTableAs,
    DropTable,
    QueryError,
    Select,
    TableName,
    Unload,
)
from pipeline.local.context import ServiceError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELECT 1; DROP TABLE t", "Only one sql statement is allowed"),
        ("SELEC 1", "mismatched input"),
        ("INSTALL httpfs", "mismatched input"),
        ("SELECT FROM WHERE", "Expected table name"),
        ("SELECT 'open", "Error tokenizing"),
        (" ", "empty"),
        ("UNLOAD SELECT 1", "UNLOAD needs"),
    ],
)
def test_text_that_is_no_single_statement_is_refused(text: str, message: str) -> None:
    with pytest.raises(ServiceError, match=message) as refused:
        parse(text)
    assert refused.value.code == "InvalidRequestException"


@pytest.mark.parametrize(
    ("text", "construct"),
    [
        ("INSERT INTO t SELECT 1", "INSERT"),
        ("DELETE FROM t", "DELETE"),
        ("SHOW PARTITIONS t", "SHOW"),
        ("MSCK REPAIR TABLE t ADD PARTITIONS", "MSCK"),
        ("ALTER TABLE t ADD PARTITION (a = 1)", "ALTER"),
        ("EXPLAIN SELECT 1", "EXPLAIN"),
        ("CREATE VIEW v (a) AS SELECT 1", "CREATE VIEW with a list of columns"),
        ("CREATE VIEW v COMMENT 'c' AS SELECT 1 AS a", "CREATE VIEW with properties"),
        ("CREATE TABLE t (a int)", "neither EXTERNAL nor AS SELECT"),
        ("CREATE TABLE t WITH (format = 'ORC') AS SELECT 1 AS a", "ORC"),
        ("CREATE TABLE t WITH (sorted_by = ARRAY['a']) AS SELECT 1 AS a", "sorted_by"),
        ("UNLOAD (SELECT 1) TO 's3://some-bucket/y/' WITH (bucketed_by = ARRAY['a'], bucket_count = 2)", "bucket"),
        ("CREATE EXTERNAL TABLE t (a int) STORED AS AVRO LOCATION 's3://some-bucket/x/'", "AVRO"),
        ("CREATE EXTERNAL TABLE t (a int) LOCATION 's3://some-bucket/x/'", "SerDe"),
        ("CREATE EXTERNAL TABLE t (a int) PARTITIONED BY (b int) STORED AS ION LOCATION 's3://some-b/x/'", "PARTITION"),
        ("CREATE EXTERNAL TABLE t (a json) STORED AS ION LOCATION 's3://some-bucket/x/'", "json"),
        ("COPY t TO '/tmp/x'", "COPY"),
        ("SET memory_limit = '1TB'", "SET"),
    ],
)
def test_what_is_not_supported_fails_and_is_named(text: str, construct: str) -> None:
    with pytest.raises(QueryError) as failed:
        parse(text)
    assert str(failed.value).startswith("SYNTAX_ERROR")
    assert construct.lower() in str(failed.value).lower()


def test_a_parameter_stands_where_its_question_mark_does() -> None:
    statement = parse("WITH a AS (SELECT 1 FROM t WHERE b = ?) SELECT '?' FROM a WHERE c = ?", ["1", "'it''s'"])
    assert isinstance(statement, Select)
    assert statement.query.sql("athena") == (
        "WITH a AS (SELECT 1 FROM t WHERE b = 1) SELECT '?' FROM a WHERE c = 'it''s'"
    )


@pytest.mark.parametrize("value", ["1; DROP TABLE t", "(SELECT 1)", "b", "1 OR 1 = 1", "'", ""])
def test_a_parameter_is_one_literal(value: str) -> None:
    with pytest.raises(QueryError, match="is not a literal"):
        parse("SELECT 1 FROM t WHERE a = ?", [value])


@pytest.mark.parametrize("value", ["1", "-1.5", "'text'", "true", "NULL", "DATE '2026-01-01'"])
def test_a_parameter_may_be_any_literal(value: str) -> None:
    assert isinstance(parse("SELECT 1 FROM t WHERE a = ?", [value]), Select)


def test_parameters_stand_in_where_and_match_in_number() -> None:
    with pytest.raises(QueryError, match="outside WHERE"):
        parse("SELECT ? FROM t", ["1"])
    with pytest.raises(QueryError, match="expected 1 but found 0"):
        parse("SELECT 1 FROM t WHERE a = ?")
    with pytest.raises(QueryError, match="expected 0 but found 1"):
        parse("DROP TABLE t", ["1"])


def test_an_external_table_keeps_its_serde_and_its_properties() -> None:
    statement = parse(
        f"CREATE EXTERNAL TABLE `db`.`T` (`A` int, b map<string,struct<c:decimal(20,10)>>) ROW FORMAT SERDE '{OPENX}' "
        "WITH SERDEPROPERTIES ('ignore.malformed.json' = 'TRUE') LOCATION 's3://some-bucket/x/' "
        "TBLPROPERTIES ('classification' = 'json');"
    )
    assert statement == CreateExternalTable(
        TableName("t", "db"),
        False,
        {"a": "int", "b": "map<string,struct<c:decimal(20,10)>>"},
        OPENX,
        "s3://some-bucket/x/",
        {"ignore.malformed.json": "TRUE"},
        {"classification": "json"},
    )


def test_stored_as_ion_is_the_ion_serde() -> None:
    statement = parse("CREATE EXTERNAL TABLE t (a int) STORED AS ION LOCATION 's3://some-bucket/x/'")
    assert isinstance(statement, CreateExternalTable)
    assert statement.serde == ION


def test_create_table_as_and_unload_say_where_and_how_they_write() -> None:
    ctas = parse(
        "CREATE TABLE t WITH (external_location = 's3://some-bucket/x/', partitioned_by = ARRAY['b', 'c'], "
        "write_compression = 'SNAPPY', format = 'PARQUET') AS SELECT a, b, c FROM s WITH NO DATA"
    )
    assert isinstance(ctas, CreateTableAs)
    assert (ctas.export.location, ctas.export.compression) == ("s3://some-bucket/x/", "snappy")
    assert ctas.export.partitioned_by == ("b", "c")
    assert not ctas.with_data
    unload = parse("UNLOAD (SELECT f(')') FROM t) TO 's3://some-bucket/y/' WITH (format = 'PARQUET')")
    assert isinstance(unload, Unload)
    assert (unload.export.location, unload.export.compression) == ("s3://some-bucket/y/", "gzip")


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ("bucketed_by = ARRAY['a']", "must be specified together"),
        ("bucket_count = 2", "must be specified together"),
        ("bucketed_by = ARRAY['a'], bucket_count = 0", "must be specified together"),
        ("bucketed_by = ARRAY['a'], bucket_count = -2", "must be greater than zero"),
        ("bucketed_by = ARRAY['a'], bucket_count = 1.5", "Unable to set"),
        ("bucketed_by = 'a', bucket_count = 2", "is no array"),
    ],
)
def test_buckets_want_columns_and_a_count(properties: str, reason: str) -> None:
    with pytest.raises(QueryError, match=reason) as failed:
        parse(f"CREATE TABLE t WITH ({properties}) AS SELECT 1 AS a")
    assert str(failed.value).startswith("INVALID_TABLE_PROPERTY")


def test_names_are_letters_digits_and_underscores_in_lower_case() -> None:
    assert parse("DROP TABLE IF EXISTS `Db`.`T`") == DropTable(TableName("t", "db"), True)
    with pytest.raises(QueryError, match="not a valid name"):
        parse("DROP TABLE `a b`")
