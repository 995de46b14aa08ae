from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.unit.pipeline.local.athena.front import Front, aws, front

__all__ = ["aws", "front"]


@pytest.fixture(scope="module")
def bucket(s3: Any) -> Iterator[str]:
    """The name of a fresh bucket, for a module."""
    name = f"test-{uuid.uuid4().hex[:20]}"
    s3.create_bucket(Bucket=name)
    yield name
    s3.delete_bucket(Bucket=name)


@pytest.fixture(scope="module")
def database(aws: Front) -> str:
    """The name of a fresh Glue database, for a module."""
    name = f"bins_{uuid.uuid4().hex[:12]}"
    aws.client("glue").create_database(DatabaseInput={"Name": name})
    return name


@pytest.fixture(scope="module")
def query(aws: Front, bucket: str, database: str) -> Callable[..., dict[str, Any]]:
    """Run a statement to its end. Returns the QueryExecution."""
    client = aws.client("athena")

    def run(text: str, *parameters: str, within: str | None = database) -> dict[str, Any]:
        extra = {"ExecutionParameters": list(parameters)} if parameters else {}
        context = {"Database": within} if within else {}
        query_id = client.start_query_execution(
            QueryString=text,
            QueryExecutionContext=context,
            ResultConfiguration={"OutputLocation": f"s3://{bucket}/results/"},
            **extra,
        )["QueryExecutionId"]
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            execution = client.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
            if execution["Status"]["State"] not in ("QUEUED", "RUNNING"):
                return execution
            time.sleep(0.02)
        raise TimeoutError(text)

    return run


@pytest.fixture
def rows(aws: Front, query: Callable[..., dict[str, Any]]) -> Callable[..., list[list[str | None]]]:
    """Run a SELECT that succeeds. Returns its rows as text, without the header."""
    client = aws.client("athena")

    def run(text: str, *parameters: str) -> list[list[str | None]]:
        execution = query(text, *parameters)
        assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"]
        result = client.get_query_results(QueryExecutionId=execution["QueryExecutionId"])
        return [[cell.get("VarCharValue") for cell in row["Data"]] for row in result["ResultSet"]["Rows"]][1:]

    return run


@pytest.fixture
def reason(query: Callable[..., dict[str, Any]]) -> Callable[..., str]:
    """Run a statement that fails. Returns its reason."""

    def run(text: str, *parameters: str, **options: Any) -> str:
        execution = query(text, *parameters, **options)
        assert execution["Status"]["State"] == "FAILED", execution
        return str(execution["Status"]["StateChangeReason"])

    return run


@pytest.fixture(scope="module")
def put(s3: Any, bucket: str) -> Callable[[str, str], None]:
    """Put an object into the test's bucket."""
    return lambda key, text: s3.put_object(Bucket=bucket, Key=key, Body=text.encode())
