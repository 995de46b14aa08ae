"""Athena's API: query executions and work groups in the store, and a bounded pool of threads for queries.

https://docs.aws.amazon.com/athena/latest/APIReference/Welcome.html
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from pipeline.local import threads
from pipeline.local.athena import results, statements
from pipeline.local.athena.catalog import Catalog
from pipeline.local.athena.engine import Session
from pipeline.local.athena.execution import Executor, Outcome, QueryJob, result_location
from pipeline.local.athena.metadata import Metadata
from pipeline.local.athena.parsing import parse
from pipeline.local.athena.prepared import PreparedStatements
from pipeline.local.athena.statements import QueryError, Statement
from pipeline.local.athena.storage import S3Access, Storage, as_folder
from pipeline.local.athena.workgroups import ENGINE_VERSION, PRIMARY, WorkGroups, page
from pipeline.local.context import ServiceError
from pipeline.local.store import Document, Store

log = logging.getLogger(__name__)

# Queries at the same time; others are QUEUED.
CONCURRENCY = 4
# Quotas: a DML query's longest time, and how many may run or wait at once; more get TooManyRequestsException.
# https://docs.aws.amazon.com/athena/latest/ug/service-limits.html. The second one differs by region; 200 is assumed.
DML_SECONDS = 1800.0
ACTIVE_DML = 200
FINAL = ("SUCCEEDED", "FAILED", "CANCELLED")
MAXIMUM_ROWS = 1000
MAXIMUM_EXECUTIONS = 50
_KIND = "athena-query-execution"
_TOKEN_KIND = "athena-request-token"  # noqa: S105  # a kind of document


@dataclass(frozen=True)
class Connection:
    """The catalog and the data as the caller of a query may use them: boto3 clients of Glue and S3, and S3's keys."""

    glue: Any
    s3: Any
    access: S3Access

    def storage(self) -> Storage:
        """The data."""
        return Storage(self.access, self.s3)

    def executor(self) -> Executor:
        """Executes statements."""
        return Executor(Catalog(self.glue), self.storage())


# Connects for the caller of the present request: Athena calls Glue and S3 with the caller's permissions.
# https://docs.aws.amazon.com/athena/latest/ug/security-iam-athena-calledvia.html
Connect = Callable[[], Connection]
# Raises ServiceError if the caller of the present request may not use an operation of Athena.
Authorize = Callable[[str, dict[str, Any]], None]


class Athena:
    """Athena's operations. Times are seconds since the epoch, as in the JSON protocol."""

    def __init__(self, store: Store, connect: Connect, authorize: Authorize) -> None:
        self._store = store
        self._connect = connect
        self._authorize = authorize
        self._workgroups = WorkGroups(store)
        self._prepared = PreparedStatements(store, self._workgroups)
        self._metadata = Metadata(lambda: connect().glue)
        self._pool = threads.Workers(CONCURRENCY, "athena")
        self._sessions: dict[str, Session] = {}
        self._active: set[str] = set()
        """Ids of DML queries that wait or run."""
        self._sessions_lock = threading.Lock()
        for document in store.list(_KIND):
            if document["execution"]["Status"]["State"] not in FINAL:
                reason = "GENERIC_INTERNAL_ERROR: the local cloud was stopped while the query ran; start it again"
                self._finish(document["execution"]["QueryExecutionId"], "FAILED", reason)

    def operations(self) -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
        """Handlers by operation."""
        return {
            "StartQueryExecution": self._start_query_execution,
            "GetQueryExecution": self._get_query_execution,
            "BatchGetQueryExecution": self._batch_get_query_execution,
            "ListQueryExecutions": self._list_query_executions,
            "GetQueryResults": self._get_query_results,
            "StopQueryExecution": self._stop_query_execution,
            "GetWorkGroup": self._workgroups.get,
            "ListWorkGroups": self._workgroups.list,
            "CreateWorkGroup": self._workgroups.create,
            "UpdateWorkGroup": self._workgroups.update,
            "DeleteWorkGroup": self._delete_work_group,
            **self._prepared.operations(),
            **self._metadata.operations(),
        }

    def close(self) -> None:
        """Stop all queries and wait for their end."""
        with self._sessions_lock:
            for session in self._sessions.values():
                session.interrupt()
        self._pool.close()

    def _start_query_execution(self, request: dict[str, Any]) -> dict[str, Any]:
        """Queue a query. Raises ServiceError unless the text is one statement; an unsupported statement FAILS later."""
        text = request["QueryString"]
        context = request.get("QueryExecutionContext", {})
        catalog = context.get("Catalog", "AwsDataCatalog")
        if catalog.lower() != "awsdatacatalog":
            raise ServiceError("InvalidRequestException", f"Catalog {catalog} was not found")
        output = self._workgroups.output_of(request)
        if (started := self._started(request)) is not None:
            return {"QueryExecutionId": started}
        statement: Statement | QueryError
        try:
            statement = self._parse(text, request.get("ExecutionParameters", []), output.workgroup)
        except QueryError as error:
            statement = error  # the execution fails with it
        query_id = str(uuid.uuid4())
        folder = as_folder(output.location)
        kind = statement.type if isinstance(statement, Statement) else "DML"
        if kind == "DML":
            self._claim(query_id)
        execution: Document = {
            "QueryExecutionId": query_id,
            "Query": text,
            "StatementType": kind,
            "ResultConfiguration": {"OutputLocation": result_location(statement, folder, query_id)},
            "QueryExecutionContext": {key.capitalize(): value.lower() for key, value in context.items()},
            "Status": {"State": "QUEUED", "SubmissionDateTime": time.time()},
            "Statistics": {},
            "WorkGroup": output.workgroup,
            "EngineVersion": ENGINE_VERSION,
        }
        if isinstance(statement, Statement):
            execution["SubstatementType"] = statement.substatement
        if request.get("ExecutionParameters"):
            execution["ExecutionParameters"] = request["ExecutionParameters"]
        self._store.put(_KIND, query_id, {"execution": execution, "columns": [], "rows_written": 0})
        self._store_token(request, query_id)
        database = context.get("Database", "").strip('`"').lower() or None
        job = QueryJob(query_id, folder, database, output.enforced)
        work = functools.partial(self._run, statement, job, self._connect().executor())
        self._pool.submit(work, lambda error: self._finish(query_id, "FAILED", f"GENERIC_INTERNAL_ERROR: {error}"))
        return {"QueryExecutionId": query_id}

    def _parse(self, text: str, parameters: list[str], workgroup: str) -> Statement:
        """The statement of a text; that of an EXECUTE is the prepared one. Raises QueryError and ServiceError."""
        statement = parse(text, parameters)
        self._authorize_prepared(statement, workgroup)
        if not isinstance(statement, statements.Execute):
            return statement
        prepared = parse(self._prepared.text(statement.name, workgroup), statement.parameters)
        if isinstance(prepared, statements.Execute):
            raise QueryError("SYNTAX_ERROR: a prepared statement is no EXECUTE")
        self._authorize_prepared(prepared, workgroup)
        return prepared

    def _authorize_prepared(self, statement: Statement, workgroup: str) -> None:
        """The permissions of SQL about prepared statements, besides StartQueryExecution. Raises ServiceError.

        https://docs.aws.amazon.com/athena/latest/ug/security-iam-athena-prepared-statements.html. Assumed: the start of
        the query is refused, and not the query FAILED.
        """
        match statement:
            case statements.Prepare(name=name):
                operation = f"{'Update' if self._prepared.has(name, workgroup) else 'Create'}PreparedStatement"
            case statements.Execute(name=name):
                operation = "GetPreparedStatement"
            case statements.Deallocate(name=name):
                operation = "DeletePreparedStatement"
            case _:
                return
        self._authorize(operation, {"StatementName": name, "WorkGroup": workgroup})

    def _delete_work_group(self, request: dict[str, Any]) -> dict[str, Any]:
        """DeleteWorkGroup; its queries are retained.

        With RecursiveDeleteOption also a group with content, "even if the workgroup contains any named queries, query
        executions, or notebooks": https://docs.aws.amazon.com/athena/latest/APIReference/API_DeleteWorkGroup.html
        """
        name = self._workgroups.name_in(request)
        executions = (document["execution"]["WorkGroup"] for document in self._store.list(_KIND))
        is_whole = request.get("RecursiveDeleteOption") or name == PRIMARY  # which is never deleted
        if not is_whole and (name in executions or self._prepared.has_any(name)):
            raise ServiceError("InvalidRequestException", f"WorkGroup {name} is not empty")
        answer = self._workgroups.delete(request)
        self._prepared.delete_all(name)
        return answer

    def _claim(self, query_id: str) -> None:
        """Count a DML query until its end. Raises ServiceError above the quota of active ones."""
        with self._sessions_lock:
            if len(self._active) >= ACTIVE_DML:
                raise ServiceError(
                    "TooManyRequestsException",
                    "You have exceeded the limit for the number of queries you can run concurrently. Please reduce the"
                    " number of concurrent queries submitted by this account. Contact customer support to request a"
                    " concurrent query limit increase.",
                )
            self._active.add(query_id)

    def workgroup_of(self, query_id: str) -> str:
        """The work group of a query, whose permissions its operations need. Raises ServiceError."""
        return str(self._document(query_id)["execution"]["WorkGroup"])

    def workgroups_of(self, query_ids: Iterable[str]) -> list[str]:
        """The work groups of several queries, without those that do not exist; the primary one if none does."""
        documents = (self._store.get(_KIND, query_id) for query_id in query_ids)
        groups = {str(document["execution"]["WorkGroup"]) for document in documents if document is not None}
        return sorted(groups) or [PRIMARY]

    def _get_query_execution(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"QueryExecution": self._document(request["QueryExecutionId"])["execution"]}

    def _batch_get_query_execution(self, request: dict[str, Any]) -> dict[str, Any]:
        """Several executions; unknown ids are returned as unprocessed."""
        executions, unknown = [], []
        for query_id in request["QueryExecutionIds"]:
            try:
                executions.append(self._document(query_id)["execution"])
            except ServiceError as error:
                failure = {"ErrorCode": "INVALID_INPUT", "ErrorMessage": error.message}
                unknown.append({"QueryExecutionId": query_id, **failure})
        return {"QueryExecutions": executions, "UnprocessedQueryExecutionIds": unknown}

    def _list_query_executions(self, request: dict[str, Any]) -> dict[str, Any]:
        workgroup = self._workgroups.name_in(request)
        executions = [document["execution"] for document in reversed(self._store.list(_KIND))]
        ids = [item["QueryExecutionId"] for item in executions if item["WorkGroup"] == workgroup]
        listed, more = page(request, ids, MAXIMUM_EXECUTIONS)
        return {"QueryExecutionIds": listed, **more}

    def _get_query_results(self, request: dict[str, Any]) -> dict[str, Any]:
        """A page of a finished query's rows. The first row of a SELECT is its header."""
        document = self._document(request["QueryExecutionId"])
        execution = document["execution"]
        state = execution["Status"]["State"]
        if state in ("QUEUED", "RUNNING"):
            raise ServiceError("InvalidRequestException", f"Query has not yet finished. Current state: {state}")
        if state != "SUCCEEDED":
            message = f"Query did not finish successfully. Final query state: {state}"
            raise ServiceError("InvalidRequestException", message)
        location = execution["ResultConfiguration"]["OutputLocation"]
        read = {"csv": results.read_csv, "txt": results.read_lines}.get(location.rsplit(".", 1)[-1])
        try:
            lines = list(read(self._connect().storage().get(location))) if read else []
        except ClientError as error:
            raise ServiceError("InvalidRequestException", f"Could not find results at {location}: {error}") from None
        listed, more = page(request, lines, MAXIMUM_ROWS)
        rows = [{"Data": [{} if cell is None else {"VarCharValue": cell} for cell in line]} for line in listed]
        result = {"Rows": rows, "ResultSetMetadata": {"ColumnInfo": document["columns"]}}
        return {"UpdateCount": document["rows_written"], "ResultSet": result, **more}

    def _stop_query_execution(self, request: dict[str, Any]) -> dict[str, Any]:
        query_id = request["QueryExecutionId"]
        self._document(query_id)
        self._finish(query_id, "CANCELLED", "Query cancelled by user")
        with self._sessions_lock:
            if session := self._sessions.get(query_id):
                session.interrupt()
        return {}

    def _run(self, statement: Statement | QueryError, job: QueryJob, executor: Executor) -> None:
        started = time.time()
        limit = threading.Timer(DML_SECONDS, self._expire, (job.id, started))
        try:
            if not self._start(job.id):
                return
            if job.id in self._active:
                limit.start()
            if isinstance(statement, QueryError):
                raise statement
            if isinstance(statement, statements.Prepare | statements.Deallocate):
                self._prepared.apply(statement, self.workgroup_of(job.id))
            outcome = executor.run(statement, job, lambda session: self._watch(job.id, session))
        except (QueryError, ClientError) as error:
            # A ClientError is Glue's: the caller lacks a permission.
            self._finish(job.id, "FAILED", str(error), started)
        except Exception as error:
            log.exception("query %s", job.id)
            self._finish(job.id, "FAILED", f"GENERIC_INTERNAL_ERROR: {type(error).__name__}: {error}", started)
        else:
            self._finish(job.id, "SUCCEEDED", None, started, outcome)
        finally:
            limit.cancel()
            with self._sessions_lock:
                self._sessions.pop(job.id, None)
                self._active.discard(job.id)

    def _expire(self, query_id: str, started: float) -> None:
        """Fail a query at the end of its time."""
        self._finish(query_id, "FAILED", "Query timeout", started)
        with self._sessions_lock:
            if session := self._sessions.get(query_id):
                session.interrupt()

    def _start(self, query_id: str) -> bool:
        """Mark a queued query as running. Returns False if it was cancelled meanwhile."""

        def change(document: Document) -> None:
            status = document["execution"]["Status"]
            if status["State"] == "QUEUED":
                status["State"] = "RUNNING"

        document = self._store.update(_KIND, query_id, change)
        return bool(document["execution"]["Status"]["State"] == "RUNNING")

    def _watch(self, query_id: str, session: Session) -> None:
        with self._sessions_lock:
            self._sessions[query_id] = session
        if self._document(query_id)["execution"]["Status"]["State"] in FINAL:
            raise QueryError("Query cancelled by user")

    def _finish(
        self,
        query_id: str,
        state: str,
        reason: str | None,
        started: float | None = None,
        outcome: Outcome | None = None,
    ) -> None:
        """Set a final state, unless the query has one already."""
        now = time.time()

        def change(document: Document) -> None:
            execution = document["execution"]
            status = execution["Status"]
            if status["State"] in FINAL:
                return
            status |= {"State": state, "CompletionDateTime": now}
            if reason is not None:
                status["StateChangeReason"] = reason
            if state == "FAILED":
                # 1 is an error of the system, 2 one of the user.
                category = 1 if str(reason).startswith("GENERIC_INTERNAL_ERROR") else 2
                status["AthenaError"] = {"ErrorCategory": category, "ErrorMessage": reason, "Retryable": category == 1}
            begun = started or now
            engine = int((now - begun) * 1000)
            queued = int((begun - status["SubmissionDateTime"]) * 1000)
            execution["Statistics"] = {
                "EngineExecutionTimeInMillis": engine,
                "DataScannedInBytes": outcome.bytes_scanned if outcome else 0,
                "TotalExecutionTimeInMillis": engine + queued,
                "QueryQueueTimeInMillis": queued,
                "ServiceProcessingTimeInMillis": 0,
            }
            if outcome is not None:
                execution["ResultConfiguration"]["OutputLocation"] = outcome.output_location
                document |= {"columns": outcome.columns, "rows_written": outcome.rows_written}
                if outcome.manifest:
                    execution["Statistics"]["DataManifestLocation"] = outcome.manifest

        self._store.update(_KIND, query_id, change)

    def _document(self, query_id: str) -> Document:
        document = self._store.get(_KIND, query_id)
        if document is None:
            raise ServiceError("InvalidRequestException", f"QueryExecution {query_id} was not found")
        return document

    def _started(self, request: dict[str, Any]) -> str | None:
        """The execution that an equal request with the same ClientRequestToken has started."""
        token = request.get("ClientRequestToken")
        earlier = self._store.get(_TOKEN_KIND, token) if token else None
        if earlier is None:
            return None
        if earlier["request"] != _digest(request):
            raise ServiceError("InvalidRequestException", "Idempotent parameters do not match")
        return str(earlier["id"])

    def _store_token(self, request: dict[str, Any], query_id: str) -> None:
        if token := request.get("ClientRequestToken"):
            self._store.put(_TOKEN_KIND, token, {"id": query_id, "request": _digest(request)})


def _digest(request: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
