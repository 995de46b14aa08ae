"""Athena's SQL -> DuckDB's, and what must not come through."""

from __future__ import annotations

import pytest

from pipeline.local.athena.parsing import parse
from pipeline.local.athena.statements import QueryError, Select, TableName
from pipeline.local.athena.translation import Translation, translate


def translated(text: str) -> Translation:
    statement = parse(text)
    assert isinstance(statement, Select)
    return translate(statement.query, "db")


@pytest.mark.parametrize(
    "source",
    [
        "read_csv('/etc/passwd')",
        "read_text('/etc/passwd')",
        "read_parquet('s3://some-bucket/x')",
        "list_files('/etc/*')",
        "duckdb_secrets()",
        "'/etc/passwd'",
        '"/etc/passwd"',
        '"s3://some-bucket/x.parquet"',
        '"t$partitions"',
    ],
)
def test_nothing_but_tables_of_the_catalog_can_be_read(source: str) -> None:
    with pytest.raises(QueryError):
        translated(f"SELECT * FROM {source}")
    with pytest.raises(QueryError):
        translated(f"SELECT a FROM t WHERE a IN (SELECT a FROM {source})")


@pytest.mark.parametrize(
    "call", ["current_setting('s3_secret_access_key')", "getvariable('x')", "list_transform(a, b)", "xxhash64(a)"]
)
def test_a_function_that_is_not_known_in_both_is_named(call: str) -> None:
    with pytest.raises(QueryError, match=f"SYNTAX_ERROR: the function {call.split('(', maxsplit=1)[0]}"):
        translated(f"SELECT {call} FROM t")


def test_tables_are_named_in_full_and_common_table_expressions_left_alone() -> None:
    query = translated("WITH c AS (SELECT a FROM T) SELECT * FROM c JOIN other.U AS u ON u.a = c.a")
    assert query.tables == {TableName("t", "db"), TableName("u", "other")}
    assert 'FROM "db"."t"' in query.sql
    assert 'JOIN "other"."u" AS u' in query.sql


def test_another_catalog_is_not_found() -> None:
    with pytest.raises(QueryError, match="CATALOG_NOT_FOUND"):
        translated("SELECT a FROM hive.db.t")
    assert translated("SELECT a FROM AwsDataCatalog.db.t").tables == {TableName("t", "db")}
