"""Queries that do not end well, against the local Athena."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.query import execution
from steps.query.__main__ import end_on_sigterm
from steps.query.execution import Athena, QueryFailedError, UnansweredError
from tests.unit.pipeline.local.athena.front import Front, aws, front
from tests.unit.steps.query.conftest import Job, bin_metadata

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
    assert failure.value.is_final
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


@pytest.fixture
def job(aws: Front, s3: Any, bucket: str, tmp_path: Path) -> Job:
    """A job over an empty bucket."""
    return Job(s3, bucket, f"bins_{uuid.uuid4().hex[:12]}", tmp_path)


REASONS = {
    "HIVE_CURSOR_ERROR: Please reduce your request rate. (Service: Amazon S3; Error Code: SlowDown)": False,
    "Query exhausted resources at this scale factor": False,
    "Query timeout": False,
    "Bytes scanned limit was exceeded": False,
    "GENERIC_INTERNAL_ERROR: io.trino.spi.TrinoException": False,
    "HIVE_BAD_DATA: Error reading Ion": False,
    "PERMISSION_DENIED: Access Denied on bucket": True,
    "HIVE_CANNOT_OPEN_SPLIT: ... (Service: Amazon S3; Status Code: 403; Error Code: AccessDenied)": True,
    "Insufficient Lake Formation permission(s): Required Select on items": True,
    "SYNTAX_ERROR: line 1:8: Column 'x' cannot be resolved": True,
    "FAILED: ParseException line 1:7 missing EOF": True,
    "Query cancelled by user": True,
}


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_that_holds_without_athena_is_final(reason: str) -> None:
    assert QueryFailedError(reason, "consolidate").is_final == REASONS[reason]


def throttle(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Refuse the first `times` starts of a query."""
    import awswrangler as wr

    start, refused = wr.athena.start_query_execution, 0

    def throttled(*arguments: Any, **more: Any) -> str:
        nonlocal refused
        if refused < times:
            refused += 1
            error = {"Code": "TooManyRequestsException", "Message": "You have exceeded the limit"}
            raise ClientError({"Error": error}, "StartQueryExecution")
        return start(*arguments, **more)

    monkeypatch.setattr(wr.athena, "start_query_execution", throttled)
    monkeypatch.setattr(execution, "FIRST_ATTEMPT", 0.01)


def test_a_query_is_started_again_until_the_account_has_a_place(
    athena: Athena, monkeypatch: pytest.MonkeyPatch
) -> None:
    throttle(monkeypatch, 3)
    assert list(athena.rows("look", "SELECT 1 AS x")) == [{"x": "1"}]


def test_a_query_that_never_gets_a_place_is_given_up_at_the_time_limit(
    athena: Athena, monkeypatch: pytest.MonkeyPatch
) -> None:
    throttle(monkeypatch, 1_000)
    athena.timeout = 0.1
    with pytest.raises(UnansweredError, match=r"look: no query could be started .* TooManyRequestsException: You have"):
        athena.run("look", "SELECT 1")


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let the query over all metadata files end with `error`."""
    run = Athena.run

    def fail(self: Athena, name: str, *arguments: Any) -> str:
        if name == "consolidate":
            raise error
        return run(self, name, *arguments)

    monkeypatch.setattr(Athena, "run", fail)


@pytest.mark.parametrize(
    "error",
    [
        QueryFailedError("HIVE_CURSOR_ERROR: Please reduce your request rate", "consolidate"),
        UnansweredError("Athena, consolidate: query 1 was stopped after 25 minutes"),
    ],
)
def test_metadata_that_athena_does_not_read_is_read_directly(
    job: Job, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    job.declare()
    for number in range(6):
        job.add(str(number), bin_metadata(number % 3))
    failing(monkeypatch, error)
    summary = job.run()
    assert (summary.reader, summary.labelled) == ("direct", 6)
    assert summary.reader_reason == str(error)


def test_a_refusal_is_not_passed_by_with_another_reader(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job.declare()
    job.add("1", bin_metadata(1))
    failing(monkeypatch, QueryFailedError("PERMISSION_DENIED: no", "consolidate"))
    with pytest.raises(StepError, match=r"^Athena, consolidate: PERMISSION_DENIED: no$"):
        job.run()
