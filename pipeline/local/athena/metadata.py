"""Athena's view of the Glue Data Catalog: catalogs, databases and tables, for the aws CLI, consoles and drivers.

https://docs.aws.amazon.com/athena/latest/APIReference/API_ListTableMetadata.html and its neighbours.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pipeline.aws.pages import items
from pipeline.aws.responses import exists
from pipeline.local.athena.workgroups import page
from pipeline.local.context import Request, ServiceError

CATALOG = "AwsDataCatalog"
MAXIMUM = 50


class Metadata:
    """The catalog's operations; `glue` makes a client of Glue for the caller of the present request."""

    def __init__(self, glue: Callable[[], Any]) -> None:
        self._glue = glue

    def operations(self) -> dict[str, Callable[[Request], Request]]:
        """Handlers by operation."""
        return {
            "ListDataCatalogs": self._list_catalogs,
            "GetDataCatalog": self._get_catalog,
            "ListDatabases": self._list_databases,
            "GetDatabase": self._get_database,
            "ListTableMetadata": self._list_tables,
            "GetTableMetadata": self._get_table,
        }

    def _list_catalogs(self, request: Request) -> Request:
        listed, more = page(request, [{"CatalogName": CATALOG, "Type": "GLUE"}], MAXIMUM)
        return {"DataCatalogsSummary": list(listed), **more}

    def _get_catalog(self, request: Request) -> Request:
        _require_catalog(request["Name"])
        return {"DataCatalog": {"Name": CATALOG, "Type": "GLUE"}}

    def _list_databases(self, request: Request) -> Request:
        _require_catalog(request["CatalogName"])
        databases = sorted(items(self._glue().get_paginator("get_databases"), "DatabaseList"), key=_name)
        listed, more = page(request, databases, MAXIMUM)
        return {"DatabaseList": [_database(database) for database in listed], **more}

    def _get_database(self, request: Request) -> Request:
        _require_catalog(request["CatalogName"])
        return {"Database": _database(self._database(self._glue(), request["DatabaseName"]))}

    def _list_tables(self, request: Request) -> Request:
        _require_catalog(request["CatalogName"])
        glue, database = self._glue(), request["DatabaseName"]
        self._database(glue, database)
        expression = request.get("Expression", ".*")
        try:
            # The whole name has to fit: assumed.
            pattern = re.compile(expression)
        except re.error as error:
            raise ServiceError("InvalidRequestException", f"Expression {expression!r}: {error}") from None
        tables = sorted(items(glue.get_paginator("get_tables"), "TableList", DatabaseName=database), key=_name)
        listed, more = page(request, [table for table in tables if pattern.fullmatch(table["Name"])], MAXIMUM)
        return {"TableMetadataList": [_table(table) for table in listed], **more}

    def _get_table(self, request: Request) -> Request:
        _require_catalog(request["CatalogName"])
        database, name = request["DatabaseName"], request["TableName"]
        response = exists(self._glue().get_table, DatabaseName=database, Name=name)
        if response is None:
            raise ServiceError("MetadataException", f"EntityNotFoundException: Entity Not Found: {database}.{name}")
        return {"TableMetadata": _table(response["Table"])}

    @staticmethod
    def _database(glue: Any, name: str) -> Request:
        response = exists(glue.get_database, Name=name)
        if response is None:
            raise ServiceError("MetadataException", f"EntityNotFoundException: Database {name} not found.")
        database: Request = response["Database"]
        return database


def _require_catalog(name: str) -> None:
    if name.lower() != CATALOG.lower():
        raise ServiceError("InvalidRequestException", f"Catalog {name} was not found")


def _name(item: Request) -> str:
    return str(item["Name"])


def _database(database: Request) -> Request:
    return {key: database[key] for key in ("Name", "Description", "Parameters") if key in database}


def _table(table: Request) -> Request:
    """A table as Athena has it: with the storage among the parameters, as in the page's example."""
    storage = table.get("StorageDescriptor", {})
    serde = storage.get("SerdeInfo", {})
    stored = {
        "inputformat": storage.get("InputFormat", ""),
        "location": storage.get("Location", ""),
        "outputformat": storage.get("OutputFormat", ""),
        **{f"serde.param.{name}": value for name, value in serde.get("Parameters", {}).items()},
        "serde.serialization.lib": serde.get("SerializationLibrary", ""),
    }
    times = {
        name: table[key].timestamp()
        for name, key in (("CreateTime", "CreateTime"), ("LastAccessTime", "LastAccessTime"))
        if key in table
    }
    return {
        "Name": table["Name"],
        "TableType": table.get("TableType", ""),
        "Columns": [_column(column) for column in storage.get("Columns", [])],
        "PartitionKeys": [_column(column) for column in table.get("PartitionKeys", [])],
        "Parameters": {**table.get("Parameters", {}), **{name: value for name, value in stored.items() if value}},
        **times,
    }


def _column(column: Request) -> Request:
    return {key: column[key] for key in ("Name", "Type", "Comment") if key in column}
