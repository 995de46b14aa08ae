"""Databases and tables in the Glue Data Catalog, as in AWS."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pipeline.aws.pages import items
from pipeline.aws.responses import exists
from pipeline.local.athena.serdes import ION, PARQUET
from pipeline.local.athena.statements import QueryError, TableName

FORMATS = {
    ION: ("com.amazon.ionhiveserde.formats.IonInputFormat", "com.amazon.ionhiveserde.formats.IonOutputFormat"),
    PARQUET: (
        "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
        "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    ),
}
TEXT_FORMATS = (
    "org.apache.hadoop.mapred.TextInputFormat",
    "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
)


# A view in Glue as Presto stores it, whose engine is Athena's: encodeViewData in HiveUtil.java of
# https://github.com/prestodb/presto ("/* Presto View: " and the definition in base64). That Athena does so is assumed.
_VIEW, _VIEW_BEGIN, _VIEW_END = "VIRTUAL_VIEW", "/* Presto View: ", " */"


@dataclass(frozen=True)
class Table:
    """A table of the catalog. `columns` and `partition_columns` map names to Hive types, in order.

    A CTAS with buckets distributes its rows over `buckets` files by `bucket_columns`; otherwise these are 0 and empty.
    """

    name: TableName
    columns: dict[str, str]
    location: str
    serde: str
    serde_parameters: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    partition_columns: dict[str, str] = field(default_factory=dict)
    bucket_columns: tuple[str, ...] = ()
    buckets: int = 0
    view: str = ""
    """The query of a view, whose unnamed database is `view_database`; a view has no location."""
    view_database: str | None = None


class Catalog:
    """The Glue calls of statements. `glue` is a boto3 client."""

    def __init__(self, glue: Any) -> None:
        self._glue = glue

    def databases(self) -> list[str]:
        """All databases, by name."""
        return sorted(item["Name"] for item in items(self._glue.get_paginator("get_databases"), "DatabaseList"))

    def has_database(self, name: str) -> bool:
        """Whether the database exists."""
        return exists(self._glue.get_database, Name=name) is not None

    def create_database(self, name: str, *, if_not_exists: bool) -> None:
        """Create a database."""
        try:
            self._glue.create_database(DatabaseInput={"Name": name})
        except self._glue.exceptions.AlreadyExistsException:
            if not if_not_exists:
                raise QueryError(
                    "FAILED: Execution Error, return code 1 from org.apache.hadoop.hive.ql.exec.DDLTask. "
                    f"Database {name} already exists"
                ) from None

    def tables(self, database: str) -> list[str]:
        """The tables of a database, by name."""
        self._require_database(database)
        paginator = self._glue.get_paginator("get_tables")
        return sorted(table["Name"] for table in items(paginator, "TableList", DatabaseName=database))

    def find(self, name: TableName) -> Table | None:
        """The table, or None."""
        response = exists(self._glue.get_table, DatabaseName=name.database, Name=name.name)
        if response is None:
            return None
        table = response["Table"]
        storage = table["StorageDescriptor"]
        serde = storage.get("SerdeInfo", {})
        return Table(
            name,
            {column["Name"]: column["Type"] for column in storage["Columns"]},
            storage.get("Location", ""),
            serde.get("SerializationLibrary", ""),
            serde.get("Parameters", {}),
            table.get("Parameters", {}),
            {column["Name"]: column["Type"] for column in table.get("PartitionKeys", [])},
            tuple(storage.get("BucketColumns", ())),
            storage.get("NumberOfBuckets", 0),
            *_view(table),
        )

    def views(self, database: str) -> list[str]:
        """The views of a database, by name."""
        self._require_database(database)
        paginator = self._glue.get_paginator("get_tables")
        tables = items(paginator, "TableList", DatabaseName=database)
        return sorted(table["Name"] for table in tables if table.get("TableType") == _VIEW)

    def create_view(self, view: Table, *, replace: bool) -> None:
        """Register a view. Raises QueryError if the name is taken, by a view that is not replaced or by a table."""
        database, name = str(view.name.database), view.name.name
        self._require_database(database)
        existing = self.find(view.name)
        if existing is not None and not (replace and existing.view):
            kind = "View" if existing.view else "Table"
            raise QueryError(f"{kind.upper()}_ALREADY_EXISTS: {kind} 'awsdatacatalog.{database}.{name}' already exists")
        columns = _columns(view.columns)
        definition = {
            "originalSql": view.view,
            "catalog": "awsdatacatalog",
            "schema": view.view_database,
            "columns": [{"name": column, "type": kind} for column, kind in view.columns.items()],
        }
        request = {
            "Name": name,
            "TableType": _VIEW,
            "Parameters": {"presto_view": "true", "comment": "Presto View"},
            "PartitionKeys": [],
            "StorageDescriptor": {"Columns": columns, "Location": "", "SerdeInfo": {}},
            "ViewOriginalText": f"{_VIEW_BEGIN}{base64.b64encode(json.dumps(definition).encode()).decode()}{_VIEW_END}",
            "ViewExpandedText": "/* Presto View */",
        }
        change = self._glue.create_table if existing is None else self._glue.update_table
        change(DatabaseName=database, TableInput=request)

    def drop_view(self, name: TableName, *, if_exists: bool) -> None:
        """Remove a view. Raises QueryError if there is none, or for a table."""
        existing = self.find(name)
        if existing is not None and existing.view:
            self._glue.delete_table(DatabaseName=name.database, Name=name.name)
        elif existing is not None or not if_exists:
            raise QueryError(f"TABLE_NOT_FOUND: View 'awsdatacatalog.{name.database}.{name.name}' does not exist")

    def partitions(self, name: TableName) -> set[tuple[str, ...]]:
        """The values of the partitions that the catalog has."""
        names = {"DatabaseName": name.database, "TableName": name.name}
        paginator = self._glue.get_paginator("get_partitions")
        return {tuple(partition["Values"]) for partition in items(paginator, "Partitions", **names)}

    def add_partitions(self, table: Table, locations: Iterable[tuple[tuple[str, ...], str]]) -> None:
        """Register partitions by their values and locations."""
        names = {"DatabaseName": table.name.database, "Name": table.name.name}
        storage = self._glue.get_table(**names)["Table"]["StorageDescriptor"]
        for values, location in locations:
            partition = {"Values": list(values), "StorageDescriptor": {**storage, "Location": location}}
            self._glue.create_partition(
                DatabaseName=table.name.database, TableName=table.name.name, PartitionInput=partition
            )

    def get(self, name: TableName) -> Table:
        """The table of a query. Raises QueryError if it or its database is missing."""
        table = self.find(name)
        if table is None:
            if not self.has_database(str(name.database)):
                raise QueryError(f"SCHEMA_NOT_FOUND: Schema '{name.database}' does not exist")
            raise QueryError(f"TABLE_NOT_FOUND: Table 'awsdatacatalog.{name.database}.{name.name}' does not exist")
        return table

    def create(self, table: Table) -> None:
        """Register a table. Raises QueryError if the database is missing or the name is taken."""
        self._require_database(str(table.name.database))
        input_format, output_format = FORMATS.get(table.serde, TEXT_FORMATS)
        storage = {
            "Columns": _columns(table.columns),
            "Location": table.location,
            "InputFormat": input_format,
            "OutputFormat": output_format,
            "BucketColumns": list(table.bucket_columns),
            "NumberOfBuckets": table.buckets,
            "SerdeInfo": {"SerializationLibrary": table.serde, "Parameters": table.serde_parameters},
        }
        request = {
            "Name": table.name.name,
            "TableType": "EXTERNAL_TABLE",
            "Parameters": {"EXTERNAL": "TRUE", **table.properties},
            "PartitionKeys": _columns(table.partition_columns),
            "StorageDescriptor": storage,
        }
        try:
            self._glue.create_table(DatabaseName=table.name.database, TableInput=request)
        except self._glue.exceptions.AlreadyExistsException:
            raise QueryError(f"TABLE_ALREADY_EXISTS: Table '{table.name.name}' already exists") from None

    def drop(self, name: TableName, *, if_exists: bool) -> None:
        """Remove a table from the catalog; its data is retained.

        https://docs.aws.amazon.com/athena/latest/ug/drop-table.html
        """
        dropped = exists(self._glue.delete_table, DatabaseName=name.database, Name=name.name)
        if dropped is None and not if_exists:
            raise QueryError(f"FAILED: SemanticException [Error 10001]: Table not found {name.database}.{name.name}")

    def _require_database(self, name: str) -> None:
        if not self.has_database(name):
            raise QueryError(f"FAILED: SemanticException [Error 10072]: Database does not exist: {name}")


def _columns(columns: dict[str, str]) -> list[dict[str, str]]:
    return [{"Name": name, "Type": kind} for name, kind in columns.items()]


def _view(table: dict[str, Any]) -> tuple[str, str | None]:
    """The query and the database of a view; of a table none. Raises QueryError for a view of another program."""
    if table.get("TableType") != _VIEW:
        return "", None
    text = str(table.get("ViewOriginalText", ""))
    try:
        definition = json.loads(base64.b64decode(text.removeprefix(_VIEW_BEGIN).removesuffix(_VIEW_END), validate=True))
        return str(definition["originalSql"]), definition.get("schema")
    except (ValueError, KeyError, TypeError):
        raise QueryError(f"INVALID_VIEW: {table['Name']}: its definition is none of Athena's") from None
