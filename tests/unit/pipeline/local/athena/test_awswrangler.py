"""awswrangler unchanged, against the local Athena."""

from __future__ import annotations

import awswrangler as wr
import pandas as pd
import pytest

from tests.unit.pipeline.local.athena.front import Front


@pytest.fixture(autouse=True)
def quick_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WR_ATHENA_QUERY_WAIT_POLLING_DELAY", "0.05")
    wr.config.reset("athena_query_wait_polling_delay")


@pytest.fixture(scope="module")
def location(aws: Front, bucket: str, database: str) -> str:
    """A Parquet table `cups` of the test's database. Returns the folder of query results."""
    frame = pd.DataFrame({"id": ["a", "b", "c"], "quantity": [1, 2, None], "price": [1.5, 2.5, 3.5]})
    frame["quantity"] = frame["quantity"].astype("Int32")
    wr.s3.to_parquet(frame, f"s3://{bucket}/cups/", dataset=True, database=database, table="cups")
    return f"s3://{bucket}/results/"


@pytest.mark.parametrize("ctas_approach", [False, True])
def test_read_sql_query(location: str, database: str, ctas_approach: bool) -> None:
    frame = wr.athena.read_sql_query(
        "SELECT id, quantity, price FROM cups ORDER BY id",
        database=database,
        s3_output=location,
        ctas_approach=ctas_approach,
    )
    assert frame["id"].tolist() == ["a", "b", "c"]
    assert frame["quantity"].tolist()[:2] == [1, 2]
    assert frame["quantity"].isna().tolist() == [False, False, True]
    assert frame["price"].tolist() == [1.5, 2.5, 3.5]
    assert str(frame["quantity"].dtype) == "Int32"


def test_read_sql_query_by_unload(location: str, database: str) -> None:
    frame = wr.athena.read_sql_query(
        "SELECT id FROM cups WHERE quantity > ?",
        database=database,
        s3_output=f"{location}unloaded/",
        ctas_approach=False,
        unload_approach=True,
        params=["1"],
        paramstyle="qmark",
    )
    assert frame["id"].tolist() == ["b"]


def test_read_sql_query_of_no_rows_keeps_the_types(location: str, database: str) -> None:
    frame = wr.athena.read_sql_query(
        "SELECT quantity FROM cups WHERE 1 = 0", database=database, s3_output=location, ctas_approach=True
    )
    assert frame.empty
    assert str(frame["quantity"].dtype) == "Int32"


def test_describe_table(location: str, database: str) -> None:
    frame = wr.athena.describe_table("cups", database=database, s3_output=location)
    assert dict(zip(frame["Column Name"], frame["Type"], strict=True)) == {
        "id": "string",
        "quantity": "int",
        "price": "double",
    }


def test_a_failed_query_raises_with_the_reason(location: str, database: str) -> None:
    with pytest.raises(wr.exceptions.QueryFailed, match="TABLE_NOT_FOUND"):
        wr.athena.read_sql_query("SELECT * FROM absent", database=database, s3_output=location, ctas_approach=False)
