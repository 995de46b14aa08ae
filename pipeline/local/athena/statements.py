"""What a statement asks for: one class a kind of statement, with the kinds that QueryExecution reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from sqlglot import exp

from pipeline.local.athena.failures import QueryError


@dataclass(frozen=True)
class TableName:
    """A table; without a database, one of the query's own database."""

    name: str
    database: str | None = None

    def within(self, default: str | None) -> TableName:
        """The full name. Raises QueryError where neither the statement nor the request names a database."""
        database = self.database or default
        if database is None:
            raise QueryError("SYNTAX_ERROR: Schema must be specified when session schema is not set")
        return TableName(self.name, database)


@dataclass(frozen=True)
class Statement:
    """What every statement has: its kinds in QueryExecution."""

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
    """DROP TABLE; the data of an external table stays."""

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
    """Where and how CTAS and UNLOAD write Parquet; a CTAS may leave the location (empty) to Athena.

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
    """A query whose rows go to the output location."""

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
