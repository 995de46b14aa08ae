"""Queries that do not end well, against the local Athena."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.query.__main__ import end_on_sigterm
from steps.query.execution import Athena, QueryFailedError
from tests.unit.pipeline.local.athena.front import Front, aws, front

__all__ = ["aws", "front"]

ENDLESS = "SELECT count(*) FROM UNNEST(sequence(1, 90000)) AS a(x) CROSS JOIN UNNEST(sequence(1, 900000)) AS b(y)"


@pytest.fixture
def athena(aws: Front, bucket: str) -> Athena:
    """An Athena with a minute for each query."""
    return Athena("default", "primary", S3Uri(bucket, "results"), timeout=60)


@pytest.fixture
def last_query(aws: Front) -> Callable[[], dict[str, Any]]:
    """The execution that was started last; nothing before the first."""

    def find() -> dict[str, Any]:
        ids = aws.client("athena").list_query_executions(WorkGroup="primary")["QueryExecutionIds"]
        if not ids:
            return {}
        executions = aws.client("athena").batch_get_query_execution(QueryExecutionIds=ids)["QueryExecutions"]
        newest: dict[str, Any] = max(executions, key=lambda execution: execution["Status"]["SubmissionDateTime"])
        return newest

    return find


def running(find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Wait until the newest query is the endless one, and runs."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        query = find()
        if query.get("Query") == ENDLESS and query["Status"]["State"] == "RUNNING":
            return query
        time.sleep(0.02)
    raise TimeoutError


def test_a_query_that_takes_too_long_is_stopped(athena: Athena, last_query: Callable[[], dict[str, Any]]) -> None:
    athena.timeout = 0.2
    with pytest.raises(
        StepError, match=r"endless: query (\S+) was stopped after 0.0033\d* minutes .* raise data.query_"
    ):
        athena.run("endless", ENDLESS)
    assert last_query()["Status"]["State"] == "CANCELLED"


def test_a_query_that_someone_cancels_gives_the_services_reason(
    athena: Athena, aws: Front, last_query: Callable[[], dict[str, Any]]
) -> None:
    def cancel() -> None:
        aws.client("athena").stop_query_execution(QueryExecutionId=running(last_query)["QueryExecutionId"])

    thread = threading.Thread(target=cancel)
    thread.start()
    try:
        with pytest.raises(QueryFailedError, match="Query cancelled by user") as failure:
            athena.run("endless", ENDLESS)
    finally:
        thread.join()
    assert not failure.value.is_about_data
    assert athena.executions[-1].state == "CANCELLED"


def test_a_query_that_fails_gives_the_services_reason(athena: Athena) -> None:
    with pytest.raises(QueryFailedError, match="SCHEMA_NOT_FOUND: Schema 'absent' does not exist"):
        athena.run("look", "SELECT * FROM absent.nothing")
    assert athena.executions[-1].state == "FAILED"


@pytest.fixture
def _sigterm() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("_sigterm")
def test_a_job_that_is_stopped_stops_its_query(athena: Athena, last_query: Callable[[], dict[str, Any]]) -> None:
    def stop() -> None:
        running(last_query)
        os.kill(os.getpid(), signal.SIGTERM)

    end_on_sigterm()
    thread = threading.Thread(target=stop)
    thread.start()
    try:
        with pytest.raises(SystemExit) as ended:
            athena.run("endless", ENDLESS)
    finally:
        thread.join()
    assert ended.value.code == 128 + signal.SIGTERM
    assert last_query()["Status"]["State"] == "CANCELLED"


def test_a_query_that_cannot_be_stopped_is_logged(
    athena: Athena, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, aws: Front
) -> None:
    import awswrangler as wr
    from botocore.exceptions import ClientError

    started: list[str] = []

    def refuse(query_id: str) -> None:
        started.append(query_id)
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "StopQueryExecution")

    monkeypatch.setattr(wr.athena, "stop_query_execution", refuse)
    athena.timeout = 0
    try:
        with pytest.raises(StepError, match="endless: query"):
            athena.run("endless", ENDLESS)
        assert "AccessDeniedException: no; the query may still run" in caplog.text
    finally:
        aws.client("athena").stop_query_execution(QueryExecutionId=started[0])


def test_rows_come_from_all_pages_as_text(athena: Athena) -> None:
    rows = list(athena.rows("count", "SELECT x AS number, nullif(x, 2) AS odd FROM UNNEST(sequence(1, 1500)) AS a(x)"))
    assert len(rows) == 1500
    assert rows[1] == {"number": "2", "odd": None}
