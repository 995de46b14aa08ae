"""Statements in Athena: each is started, waited for with a limit, stopped at the limit, and recorded."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from steps.contracts.errors import StepError
from steps.contracts.query_summary import Execution
from steps.contracts.s3_uri import S3Uri

log = logging.getLogger(__name__)

# Seconds between two looks at a query: short at first, as most statements are DDL, then up to the usual second.
FIRST_LOOK = 0.05
LONGEST_PAUSE = 1.0
# Seconds between two attempts to start a query that the account has no place for.
FIRST_ATTEMPT = 2.0
LONGEST_WAIT = 30.0
# More queries than the account's quota of active ones, or more calls than its rate, after boto3's own repetitions:
# https://docs.aws.amazon.com/athena/latest/ug/service-limits.html
THROTTLED = ("TooManyRequestsException", "ThrottlingException")
# Reasons of a failed query which hold for another reader, too, or which a person has to know: a refusal, a mistake in
# the statement, and a person who cancelled it. Every other one may be of Athena alone: data that its SerDe does not
# read, S3's "reduce your request rate", resources, a timeout, an internal error.
# https://docs.aws.amazon.com/athena/latest/ug/troubleshooting-athena.html
# https://docs.aws.amazon.com/athena/latest/ug/error-reference.html
_FINAL = re.compile(
    r"PERMISSION_DENIED|Access ?Denied|Insufficient .*Lake Formation|SYNTAX_ERROR|ParseException|cancell?ed by user",
    re.IGNORECASE,
)


class QueryFailedError(Exception):
    """A query ended FAILED or CANCELLED; the text is the service's own reason."""

    def __init__(self, reason: str, statement: str) -> None:
        super().__init__(reason)
        self.statement = statement

    @property
    def is_final(self) -> bool:
        """Whether the reason holds also without Athena."""
        return _FINAL.search(str(self)) is not None


class UnansweredError(StepError):
    """Athena has not run a query within the time limit, or had no place for it."""


@contextmanager
def service_errors(doing: str) -> Iterator[None]:
    """Turn an AWS client's errors (no access, no such bucket or work group, no network) into a StepError."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        problem = error.response.get("Error", {})
        raise StepError(f"{doing}: {problem.get('Code', 'Error')}: {problem.get('Message', error)}") from error
    except BotoCoreError as error:
        raise StepError(f"{doing}: {error}") from error


class Athena:
    """Runs statements in one database and work group; results are written below `results`."""

    def __init__(self, database: str, workgroup: str, results: S3Uri, timeout: float) -> None:
        self.database = database
        self.workgroup = workgroup
        self.results = results
        self.timeout = timeout
        self.executions: list[Execution] = []

    def ensure_database(self) -> None:
        """Create the Glue database if it is missing."""
        import awswrangler as wr

        with service_errors(f"Glue database {self.database}"):
            wr.catalog.create_database(self.database, exist_ok=True)

    def run(self, name: str, sql: str, parameters: Sequence[str] = ()) -> str:
        """Run a statement to its end; returns its query execution id.

        Raises QueryFailedError with the service's reason, UnansweredError for a query that was stopped at the time
        limit or for which the account had no place until then, and StepError for one that could not be started.
        """
        deadline = time.monotonic() + self.timeout
        with service_errors(f"Athena, {name}, work group {self.workgroup}"):
            query_id = self._start(name, sql, parameters, deadline)
            try:
                final = self._wait(name, query_id, deadline)
            except BaseException:
                # Nobody waits for the query any longer, so it must not run on and cost money.
                _stop(query_id)
                raise
        status, statistics = final["Status"], final.get("Statistics", {})
        execution = Execution(
            statement=name,
            id=query_id,
            state=status["State"],
            data_scanned_bytes=statistics.get("DataScannedInBytes", 0),
            engine_milliseconds=statistics.get("EngineExecutionTimeInMillis", 0),
        )
        self.executions.append(execution)
        if execution.state != "SUCCEEDED":
            raise QueryFailedError(status.get("StateChangeReason", f"the query is {execution.state}"), name)
        used = execution.engine_milliseconds, execution.data_scanned_bytes
        log.info("%s: %d ms, %d bytes scanned (query %s)", name, *used, query_id)
        return query_id

    def rows(self, name: str, sql: str) -> Iterator[dict[str, str | None]]:
        """Run a SELECT, then yield its rows page by page; values are Athena's text.

        The rows come from the API: a data frame would turn an id `NaN` into a missing value.
        """
        return self._rows(name, self.run(name, sql))

    def _rows(self, name: str, query_id: str) -> Iterator[dict[str, str | None]]:
        import boto3

        with service_errors(f"Athena, {name}"):
            pages = boto3.client("athena").get_paginator("get_query_results").paginate(QueryExecutionId=query_id)
            rows = (row["Data"] for page in pages for row in page["ResultSet"]["Rows"])
            lines = ([cell.get("VarCharValue") for cell in row] for row in rows)
            header = [str(column) for column in next(lines)]
            for line in lines:
                yield dict(zip(header, line, strict=True))

    def _start(self, name: str, sql: str, parameters: Sequence[str], deadline: float) -> str:
        import awswrangler as wr
        from botocore.exceptions import ClientError

        pause = FIRST_ATTEMPT
        while True:
            try:
                query_id: str = wr.athena.start_query_execution(
                    sql,
                    database=self.database,
                    workgroup=self.workgroup,
                    s3_output=f"{self.results}/",
                    params=list(parameters) if parameters else None,
                    paramstyle="qmark" if parameters else "named",
                )
            except ClientError as error:
                problem = error.response.get("Error", {})
                if problem.get("Code") not in THROTTLED:
                    raise
                if time.monotonic() + pause > deadline:
                    raise UnansweredError(
                        f"Athena, {name}: no query could be started for {self.timeout / 60:g} minutes:"
                        f" {problem['Code']}: {problem.get('Message', error)}; raise the quota of active queries"
                    ) from error
                log.warning("%s: %s; again in %.0f s", name, problem["Code"], pause)
                time.sleep(pause)
                pause = min(pause * 1.5, LONGEST_WAIT)
            else:
                return query_id

    def _wait(self, name: str, query_id: str, deadline: float) -> dict[str, Any]:
        import awswrangler as wr

        pause = FIRST_LOOK
        while True:
            execution: dict[str, Any] = wr.athena.get_query_execution(query_id)
            if execution["Status"]["State"] in ("SUCCEEDED", "FAILED", "CANCELLED"):
                return execution
            left = deadline - time.monotonic()
            if left <= 0:
                raise UnansweredError(
                    f"Athena, {name}: query {query_id} was stopped after {self.timeout / 60:g} minutes"
                    f" ({execution['Status']['State']}); raise data.query_minutes"
                )
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, LONGEST_PAUSE)


def _stop(query_id: str) -> None:
    import awswrangler as wr

    try:
        with service_errors(f"stopping query {query_id}"):
            wr.athena.stop_query_execution(query_id)
    except StepError as error:
        log.warning("%s; the query may still run", error)
