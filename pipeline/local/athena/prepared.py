"""Prepared statements of work groups, by the API and by PREPARE, EXECUTE and DEALLOCATE PREPARE.

https://docs.aws.amazon.com/athena/latest/ug/querying-with-prepared-statements.html
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pipeline.local.athena import statements
from pipeline.local.athena.statements import QueryError
from pipeline.local.athena.workgroups import WorkGroups, page
from pipeline.local.context import Request, ServiceError
from pipeline.local.store import Document, Store

MAXIMUM = 50
_KIND = "athena-prepared-statement"


class PreparedStatements:
    """Prepared statements in the store."""

    def __init__(self, store: Store, workgroups: WorkGroups) -> None:
        self._store = store
        self._workgroups = workgroups

    def operations(self) -> dict[str, Callable[[Request], Request]]:
        """Handlers by operation."""
        return {
            "CreatePreparedStatement": self._create,
            "UpdatePreparedStatement": self._update,
            "GetPreparedStatement": self._get,
            "BatchGetPreparedStatement": self._batch_get,
            "ListPreparedStatements": self._list,
            "DeletePreparedStatement": self._delete,
        }

    def has(self, name: str, workgroup: str) -> bool:
        """Whether the work group has a statement of this name."""
        return self._store.get(_KIND, _key(workgroup, name)) is not None

    def text(self, name: str, workgroup: str) -> str:
        """The text of a statement that EXECUTE names. Raises QueryError if there is none."""
        document = self._store.get(_KIND, _key(workgroup, name))
        if document is None:
            # Trino's name of the error (StandardErrorCode.java); the sentence is assumed to be that of the API.
            raise QueryError(f"NOT_FOUND: {_missing(name, workgroup)}")
        return str(document["QueryStatement"])

    def apply(self, statement: statements.Prepare | statements.Deallocate, workgroup: str) -> None:
        """Carry out PREPARE, which replaces a statement of the name, or DEALLOCATE PREPARE. Raises QueryError."""
        if isinstance(statement, statements.Deallocate):
            self.text(statement.name, workgroup)
            self._store.delete(_KIND, _key(workgroup, statement.name))
        else:
            document = _document(workgroup, statement.name, statement.text, "")
            self._store.put(_KIND, _key(workgroup, statement.name), document)

    def has_any(self, workgroup: str) -> bool:
        """Whether the work group has statements."""
        return any(document["WorkGroupName"] == workgroup for document in self._store.list(_KIND))

    def delete_all(self, workgroup: str) -> None:
        """Delete the statements of a work group."""
        for document in self._store.list(_KIND):
            if document["WorkGroupName"] == workgroup:
                self._store.delete(_KIND, _key(workgroup, document["StatementName"]))

    def _create(self, request: Request) -> Request:
        workgroup, name = self._workgroups.name_in(request), request["StatementName"]
        document = _document(workgroup, name, request["QueryStatement"], request.get("Description", ""))
        if not self._store.create(_KIND, _key(workgroup, name), document):
            message = f"Prepared Statement {name} already exists in WorkGroup {workgroup}"
            raise ServiceError("InvalidRequestException", message)
        return {}

    def _update(self, request: Request) -> Request:
        before = self._document(request)
        workgroup, name = before["WorkGroupName"], before["StatementName"]
        description = str(request.get("Description", before["Description"]))
        document = _document(workgroup, name, request["QueryStatement"], description)
        self._store.put(_KIND, _key(workgroup, name), document)
        return {}

    def _get(self, request: Request) -> Request:
        return {"PreparedStatement": self._document(request)}

    def _batch_get(self, request: Request) -> Request:
        answer: Request = {"PreparedStatements": [], "UnprocessedPreparedStatementNames": []}
        for name in request["PreparedStatementNames"]:
            try:
                statement = self._document({**request, "StatementName": name})
                answer["PreparedStatements"].append(statement)
            except ServiceError as error:
                failure = {"StatementName": name, "ErrorCode": "STATEMENT_NOT_FOUND", "ErrorMessage": error.message}
                answer["UnprocessedPreparedStatementNames"].append(failure)
        return answer

    def _list(self, request: Request) -> Request:
        workgroup = self._workgroups.name_in(request)
        own = [document for document in self._store.list(_KIND) if document["WorkGroupName"] == workgroup]
        listed, more = page(request, own, MAXIMUM)
        summaries = [{key: document[key] for key in ("StatementName", "LastModifiedTime")} for document in listed]
        return {"PreparedStatements": summaries, **more}

    def _delete(self, request: Request) -> Request:
        document = self._document(request)
        self._store.delete(_KIND, _key(document["WorkGroupName"], document["StatementName"]))
        return {}

    def _document(self, request: Request) -> Document:
        workgroup, name = self._workgroups.name_in(request), request["StatementName"]
        document = self._store.get(_KIND, _key(workgroup, name))
        if document is None:
            raise ServiceError("ResourceNotFoundException", _missing(name, workgroup))
        return document


def _missing(name: str, workgroup: str) -> str:
    return f"PreparedStatement {name} was not found in workGroup {workgroup}"


def _key(workgroup: str, name: str) -> str:
    return f"{workgroup}/{name}"


def _document(workgroup: str, name: str, text: str, description: str) -> dict[str, Any]:
    return {
        "StatementName": name,
        "QueryStatement": text,
        "WorkGroupName": workgroup,
        "Description": description,
        "LastModifiedTime": time.time(),
    }
