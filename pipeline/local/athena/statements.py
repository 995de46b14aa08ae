"""Statements: one class per kind of statement, with the kinds that QueryExecution reports, and their errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from sqlglot import exp


class QueryError(Exception):
    """Ends a query execution as FAILED; the text is its StateChangeReason and begins with the service's error name."""


def unsupported(construct: str) -> QueryError:
    """The error for a construct that the local Athena does not have."""
    return QueryError(f"SYNTAX_ERROR: {construct} is not supported by the local Athena")


@dataclass(frozen=True)
class TableName:
    """A table's name, and its database if the statement names one."""

    name: str
    database: str | None = None

    def within(self, default: str | None) -> TableName:
        """The name with a database. Raises QueryError if neither the statement nor the request names one."""
        database = self.database or default
        if database is None:
            raise QueryError("SYNTAX_ERROR: Schema must be specified when session schema is not set")
        return TableName(self.name, database)


@dataclass(frozen=True)
class Statement:
    """A statement's kinds in QueryExecution."""

    type: ClassVar[str] = "DDL"
    substatement: ClassVar[str] = ""


@dataclass(frozen=True)
class CreateDatabase(Statement):
    """CREATE DATABASE."""

    substatement: ClassVar[str] = "CREATE_DATABASE"
    name: str
    if_not_exists: bool


@dataclass(frozen=True)
class DropTable(Statement):
    """DROP TABLE; the data of an external table is retained."""

    substatement: ClassVar[str] = "DROP_TABLE"
    table: TableName
    if_exists: bool


@dataclass(frozen=True)
class CreateExternalTable(Statement):
    """CREATE EXTERNAL TABLE over a location. `columns` maps names to Hive types."""

    substatement: ClassVar[str] = "CREATE_TABLE"
    table: TableName
    if_not_exists: bool
    columns: dict[str, str]
    serde: str
    location: str
    serde_parameters: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Export:
    """The location and form of the Parquet that CTAS and UNLOAD write; Athena chooses an empty location of a CTAS.

    Without buckets, `bucketed_by` is empty and `bucket_count` is 0.
    """

    location: str
    compression: str
    partitioned_by: tuple[str, ...]
    bucketed_by: tuple[str, ...] = ()
    bucket_count: int = 0


@dataclass(frozen=True)
class CreateTableAs(Statement):
    """CREATE TABLE AS SELECT."""

    substatement: ClassVar[str] = "CREATE_TABLE_AS_SELECT"
    table: TableName
    if_not_exists: bool
    query: exp.Query
    export: Export
    with_data: bool


@dataclass(frozen=True)
class Unload(Statement):
    """UNLOAD (SELECT ...) TO location."""

    type: ClassVar[str] = "DML"
    substatement: ClassVar[str] = "UNLOAD"
    query: exp.Query
    export: Export


@dataclass(frozen=True)
class Select(Statement):
    """A query; its rows are written to the output location."""

    type: ClassVar[str] = "DML"
    substatement: ClassVar[str] = "SELECT"
    query: exp.Query


@dataclass(frozen=True)
class ShowDatabases(Statement):
    """SHOW DATABASES."""

    type: ClassVar[str] = "UTILITY"
    substatement: ClassVar[str] = "SHOW_DATABASES"


@dataclass(frozen=True)
class ShowTables(Statement):
    """SHOW TABLES."""

    type: ClassVar[str] = "UTILITY"
    substatement: ClassVar[str] = "SHOW_TABLES"
    database: str | None


@dataclass(frozen=True)
class DescribeTable(Statement):
    """DESCRIBE table."""

    type: ClassVar[str] = "UTILITY"
    substatement: ClassVar[str] = "DESCRIBE_TABLE"
    table: TableName


@dataclass(frozen=True)
class CreateView(Statement):
    """CREATE [OR REPLACE] VIEW; `text` is the query as it was written."""

    substatement: ClassVar[str] = "CREATE_VIEW"
    view: TableName
    replace: bool
    query: exp.Query
    text: str


@dataclass(frozen=True)
class DropView(Statement):
    """DROP VIEW."""

    substatement: ClassVar[str] = "DROP_VIEW"
    view: TableName
    if_exists: bool


@dataclass(frozen=True)
class ShowViews(Statement):
    """SHOW VIEWS."""

    type: ClassVar[str] = "UTILITY"
    substatement: ClassVar[str] = "SHOW_VIEWS"
    database: str | None


@dataclass(frozen=True)
class ShowCreate(Statement):
    """SHOW CREATE TABLE, or SHOW CREATE VIEW."""

    type: ClassVar[str] = "UTILITY"
    substatement: ClassVar[str] = "SHOW_CREATE_TABLE"
    table: TableName
    is_view: bool


@dataclass(frozen=True)
class RepairTable(Statement):
    """MSCK REPAIR TABLE: adds the partitions of Hive's folders to the catalog."""

    substatement: ClassVar[str] = "MSCK_REPAIR_TABLE"
    table: TableName


@dataclass(frozen=True)
class Prepare(Statement):
    """PREPARE name FROM statement."""

    substatement: ClassVar[str] = "PREPARE"
    name: str
    text: str


@dataclass(frozen=True)
class Deallocate(Statement):
    """DEALLOCATE PREPARE name."""

    substatement: ClassVar[str] = "DEALLOCATE"
    name: str


@dataclass(frozen=True)
class Execute(Statement):
    """EXECUTE name [USING literals], which stands for the prepared statement with these values."""

    substatement: ClassVar[str] = "EXECUTE"
    name: str
    parameters: tuple[str, ...]
