"""Databases and tables in the Glue Data Catalog, as in AWS."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pipeline.aws.pages import items
from pipeline.aws.responses import exists
from pipeline.local.athena.serdes import ION, PARQUET
from pipeline.local.athena.statements import QueryError, TableName

_FORMATS = {
    ION: ("com.amazon.ionhiveserde.formats.IonInputFormat", "com.amazon.ionhiveserde.formats.IonOutputFormat"),
    PARQUET: (
        "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
        "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    ),
}
_TEXT_FORMATS = (
    "org.apache.hadoop.mapred.TextInputFormat",
    "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
)


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
        input_format, output_format = _FORMATS.get(table.serde, _TEXT_FORMATS)
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
