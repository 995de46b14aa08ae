"""Carrying out a statement: what it does to the catalog and to S3, and what it leaves at its output location."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import duckdb
import pyarrow as pa
from sqlglot import exp

from pipeline.local.athena import results, serdes
from pipeline.local.athena.catalog import Catalog, Table
from pipeline.local.athena.engine import Session, failure
from pipeline.local.athena.failures import QueryError, unsupported
from pipeline.local.athena.statements import (
    CreateDatabase,
    CreateExternalTable,
    CreateTableAs,
    DescribeTable,
    DropTable,
    Export,
    Select,
    ShowDatabases,
    ShowTables,
    Statement,
    TableName,
    Unload,
)
from pipeline.local.athena.storage import Storage, as_folder, split_uri
from pipeline.local.athena.translation import is_named, output_columns, translate
from pipeline.local.athena.types import to_hive


@dataclass(frozen=True)
class Request:
    """One query execution: its id, the folder of its results, and the database it runs in.

    `enforced`: the work group decides where all results go, those of CTAS too.
    """

    id: str
    output_folder: str
    database: str | None
    enforced: bool


@dataclass
class Outcome:
    """What a finished statement has to show."""

    output_location: str
    bytes_scanned: int = 0
    columns: list[dict[str, Any]] = field(default_factory=list)
    manifest: str | None = None
    rows_written: int = 0


class Executor:
    """Runs statements. `watch` is told each query's session, so that it can be interrupted from outside."""

    def __init__(self, catalog: Catalog, storage: Storage) -> None:
        self._catalog = catalog
        self._storage = storage

    def run(self, statement: Statement, request: Request, watch: Callable[[Session], None]) -> Outcome:
        """Carry the statement out. Raises QueryError with the reason where Athena would end FAILED."""
        match statement:
            case Select():
                return self._select(statement, request, watch)
            case CreateTableAs():
                return self._create_table_as(statement, request, watch)
            case Unload():
                return self._unload(statement, request, watch)
        names, lines = self._catalog_statement(statement, request)
        return self._text_result(request, names, lines)

    # -------------------------------------------------------------------------------------------- catalog alone

    def _catalog_statement(self, statement: Statement, request: Request) -> tuple[list[str], list[str]]:
        """Column names and lines of a statement that concerns the catalog alone."""
        names: list[str] = []
        lines: list[str] = []
        match statement:
            case CreateDatabase():
                self._catalog.create_database(statement.name, if_not_exists=statement.if_not_exists)
            case CreateExternalTable():
                self._create_external_table(statement, request)
            case DropTable():
                self._catalog.drop(statement.table.within(request.database), if_exists=statement.if_exists)
            case ShowDatabases():
                names, lines = ["database_name"], self._catalog.databases()
            case ShowTables():
                database = TableName("", statement.database).within(request.database).database
                names, lines = ["tab_name"], self._catalog.tables(str(database))
            case DescribeTable():
                names, lines = ["col_name", "data_type", "comment"], self._description(statement, request)
            case _:
                raise AssertionError(f"no way to run {type(statement).__name__}")
        return names, lines

    def _create_external_table(self, statement: CreateExternalTable, request: Request) -> None:
        name = statement.table.within(request.database)
        split_uri(statement.location)
        if statement.if_not_exists and self._catalog.find(name) is not None:
            return
        self._catalog.create(
            Table(
                name,
                statement.columns,
                statement.location,
                statement.serde,
                statement.serde_parameters,
                statement.properties,
            )
        )

    def _description(self, statement: DescribeTable, request: Request) -> list[str]:
        table = self._catalog.get(statement.table.within(request.database))
        partitions = [_described(*column) for column in table.partition_columns.items()]
        heading = [_described("", ""), "# Partition Information\t\t", "# col_name\tdata_type\tcomment"]
        columns = [_described(*column) for column in table.columns.items()]
        return columns + partitions + (heading + partitions if partitions else [])

    def _text_result(self, request: Request, names: list[str], lines: list[str]) -> Outcome:
        """DDL and utility statements leave a text file."""
        location = f"{request.output_folder}{request.id}.txt"
        self._storage.put(location, "".join(f"{line}\n" for line in lines).encode())
        columns = [{"Name": name, "Label": name, "Type": "string", "Precision": 0, "Scale": 0} for name in names]
        return Outcome(location, columns=columns)

    # -------------------------------------------------------------------------------------------- queries

    def _select(self, statement: Select, request: Request, watch: Callable[[Session], None]) -> Outcome:
        location = f"{request.output_folder}{request.id}.csv"
        with closing(self._session(watch)) as session:
            sql, scanned = self._prepare(session, statement.query, request)
            try:
                file, columns = results.write_csv(session.rows(sql))
            except duckdb.Error as error:
                raise failure(error) from error
            with file:
                self._storage.put(location, file)
        self._storage.put(f"{location}.metadata", results.metadata(columns))
        return Outcome(location, scanned, columns)

    def _create_table_as(self, statement: CreateTableAs, request: Request, watch: Callable[[Session], None]) -> Outcome:
        name = statement.table.within(request.database)
        if request.enforced and statement.export.location:
            # https://docs.aws.amazon.com/athena/latest/ug/ctas-considerations-limitations.html
            raise QueryError(
                "The Create Table As Select query failed because it was submitted with an 'external_location' property "
                "to an Athena Workgroup that enforces a centralized output location for all queries. Please remove the "
                "'external_location' property and resubmit the query."
            )
        outcome = Outcome(f"{request.output_folder}tables/{request.id}")
        export = replace(statement.export, location=as_folder(statement.export.location or outcome.output_location))
        if self._catalog.find(name) is not None:
            if statement.if_not_exists:
                return outcome
            raise QueryError(f"TABLE_ALREADY_EXISTS: Table '{name.name}' already exists")
        _want_column_names(statement.query)
        with closing(self._session(watch)) as session:
            sql, outcome.bytes_scanned = self._prepare(session, statement.query, request)
            table = _created(name, session.describe(sql), export)
            if statement.with_data:
                self._export(session, sql, export, outcome)
            else:
                self._want_empty(export.location)
        self._catalog.create(table)
        return outcome

    def _unload(self, statement: Unload, request: Request, watch: Callable[[Session], None]) -> Outcome:
        outcome = Outcome(f"{request.output_folder}{request.id}")
        with closing(self._session(watch)) as session:
            sql, outcome.bytes_scanned = self._prepare(session, statement.query, request)
            self._export(session, sql, statement.export, outcome)
        return outcome

    def _session(self, watch: Callable[[Session], None]) -> Session:
        session = Session(self._storage.access, self._storage)
        watch(session)
        return session

    def _prepare(self, session: Session, query: exp.Query, request: Request) -> tuple[str, int]:
        """The query for DuckDB with its tables in place and the session sealed, and the bytes of those tables."""
        translated = translate(query, request.database)
        tables = [self._catalog.get(name) for name in sorted(translated.tables, key=str)]
        # Athena counts what it reads; this, which reads small data whole, counts what the tables hold.
        scanned = sum(session.add(table) for table in tables)
        session.seal()
        return translated.sql, scanned

    def _export(self, session: Session, sql: str, export: Export, outcome: Outcome) -> None:
        """Write Parquet and the manifest that lists its files.

        Objects carry no `.parquet`, as those of Athena do not.
        """
        self._want_empty(export.location)
        outcome.rows_written = session.export(sql, export, name=outcome.output_location.rsplit("/", 1)[-1])
        written = self._storage.objects(export.location)
        if not outcome.rows_written:
            # DuckDB writes an empty file for no rows, Athena none.
            for stored in written:
                self._storage.delete(stored.uri)
            written = []
        outcome.manifest = f"{outcome.output_location}-manifest.csv"
        self._storage.put(outcome.manifest, "".join(f"{stored.uri}\n" for stored in written).encode())
        self._storage.put(f"{outcome.output_location}.metadata", results.metadata([]))

    def _want_empty(self, location: str) -> None:
        # https://docs.aws.amazon.com/athena/latest/ug/ctas-considerations-limitations.html
        if not self._storage.is_empty(location):
            raise QueryError(
                f"HIVE_PATH_ALREADY_EXISTS: Target directory for table already exists: {location}. "
                "Location used for query results must be empty"
            )


def _described(name: str, kind: str) -> str:
    return f"{name:<20}\t{kind:<20}\t{'':<20}"


def _want_column_names(query: exp.Query) -> None:
    for place, column in enumerate(output_columns(query), start=1):
        if not is_named(column):
            raise QueryError(f"SYNTAX_ERROR: Column name not specified at position {place}")


def _created(name: TableName, schema: pa.Schema, export: Export) -> Table:
    """The table that a CTAS registers.

    Raises QueryError where its partition columns are not the last ones, or a column of its buckets is no column.
    """
    twice = next((column for column in schema.names if schema.names.count(column) > 1), None)
    if twice is not None:
        raise QueryError(f"DUPLICATE_COLUMN_NAME: Column name '{twice}' specified more than once")
    kinds = {column.name: to_hive(column.type) for column in schema}
    partitions = list(export.partitioned_by)
    if partitions and list(kinds)[-len(partitions) :] != partitions:
        raise QueryError(
            "HIVE_COLUMN_ORDER_MISMATCH: Partition keys must be the last columns in the table and in the same order "
            f"as the table properties: {partitions}"
        )
    absent = sorted(set(export.bucketed_by) - set(kinds))
    if absent:
        raise QueryError(f"INVALID_TABLE_PROPERTY: Bucketing columns {absent} not present in schema")
    if set(export.bucketed_by) & set(partitions):
        raise unsupported("bucketing by a partition column")
    return Table(
        name,
        {column: kind for column, kind in kinds.items() if column not in partitions},
        export.location,
        serdes.PARQUET,
        properties={"parquet.compression": export.compression.upper()},
        partition_columns={column: kinds[column] for column in partitions},
        bucket_columns=export.bucketed_by,
        buckets=export.bucket_count,
    )
