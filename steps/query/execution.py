"""Statements in Athena: each is started, waited for with a limit, stopped at the limit, and recorded."""

from __future__ import annotations

import logging
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
# Errors of a query over data that the SerDe does not expect. Casts that fail inside a SerDe are internal errors of the
# engine. https://docs.aws.amazon.com/athena/latest/ug/troubleshooting-athena.html
DATA_ERRORS = ("HIVE_BAD_DATA", "HIVE_CURSOR_ERROR", "GENERIC_USER_ERROR", "GENERIC_INTERNAL_ERROR")


class QueryFailedError(Exception):
    """A query ended FAILED or CANCELLED; the text is the service's own reason."""

    @property
    def is_about_data(self) -> bool:
        """Whether the data caused the error, not the statement or the service."""
        return str(self).startswith(DATA_ERRORS)


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

        Raises QueryFailedError with the service's reason, and StepError for a query that was stopped at the time limit
        or could not be started.
        """
        import awswrangler as wr

        with service_errors(f"Athena, {name}, work group {self.workgroup}"):
            query_id: str = wr.athena.start_query_execution(
                sql,
                database=self.database,
                workgroup=self.workgroup,
                s3_output=f"{self.results}/",
                params=list(parameters) if parameters else None,
                paramstyle="qmark" if parameters else "named",
            )
            try:
                final = self._wait(name, query_id)
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
            raise QueryFailedError(status.get("StateChangeReason", f"the query is {execution.state}"))
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

    def _wait(self, name: str, query_id: str) -> dict[str, Any]:
        import awswrangler as wr

        deadline = time.monotonic() + self.timeout
        pause = FIRST_LOOK
        while True:
            execution: dict[str, Any] = wr.athena.get_query_execution(query_id)
            if execution["Status"]["State"] in ("SUCCEEDED", "FAILED", "CANCELLED"):
                return execution
            left = deadline - time.monotonic()
            if left <= 0:
                raise StepError(
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
