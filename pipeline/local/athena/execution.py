"""Executes statements: their effects on the catalog and S3, and the files at their output location."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

import duckdb
import pyarrow as pa
from sqlglot import exp

from pipeline.local.athena import results, serdes, statements
from pipeline.local.athena.catalog import FORMATS, TEXT_FORMATS, Catalog, Table
from pipeline.local.athena.engine import Session, failure
from pipeline.local.athena.parsing import parse
from pipeline.local.athena.statements import Export, QueryError, Statement, TableName, unsupported
from pipeline.local.athena.storage import Storage, as_folder, location_of
from pipeline.local.athena.translation import is_named, output_columns, translate
from pipeline.local.athena.types import to_hive


@dataclass(frozen=True)
class QueryJob:
    """A query execution: its id, the folder of its results, and its database.

    `enforced`: the work group decides the location of all results, including those of CTAS.
    """

    id: str
    output_folder: str
    database: str | None
    enforced: bool


@dataclass
class Outcome:
    """The result of a finished statement."""

    output_location: str
    bytes_scanned: int = 0
    columns: list[dict[str, Any]] = field(default_factory=list)
    manifest: str | None = None
    rows_written: int = 0


class Executor:
    """Runs statements. `watch` is called with each query's session, so that the caller can interrupt it."""

    def __init__(self, catalog: Catalog, storage: Storage) -> None:
        self._catalog = catalog
        self._storage = storage

    def run(self, statement: Statement, job: QueryJob, watch: Callable[[Session], None]) -> Outcome:
        """Execute a statement. Raises QueryError with the reason if Athena's query execution would be FAILED."""
        match statement:
            case statements.Select():
                return self._select(statement, job, watch)
            case statements.CreateTableAs():
                return self._create_table_as(statement, job, watch)
            case statements.Unload():
                return self._unload(statement, job, watch)
            case statements.CreateView():
                return self._create_view(statement, job, watch)
            case _:
                return self._catalog_statement(statement, job)

    def _catalog_statement(self, statement: Statement, job: QueryJob) -> Outcome:
        """Execute a statement that uses the catalog only."""
        names: list[str] = []
        lines: list[str] = []
        within = job.database
        match statement:
            case statements.CreateDatabase():
                self._catalog.create_database(statement.name, if_not_exists=statement.if_not_exists)
            case statements.CreateExternalTable():
                self._create_external_table(statement, job)
            case statements.DropTable():
                self._catalog.drop(statement.table.within(job.database), if_exists=statement.if_exists)
            case statements.ShowDatabases():
                names, lines = ["database_name"], self._catalog.databases()
            case statements.ShowTables():
                database = TableName("", statement.database).within(job.database).database
                names, lines = ["tab_name"], self._catalog.tables(str(database))
            case statements.DescribeTable():
                names, lines = ["col_name", "data_type", "comment"], self._description(statement, job)
            case statements.DropView():
                self._catalog.drop_view(statement.view.within(within), if_exists=statement.if_exists)
            case statements.ShowViews():
                database = TableName("", statement.database).within(within).database
                names, lines = ["views"], self._catalog.views(str(database))
            case statements.ShowCreate():
                names, lines = ["createtab_stmt"], self._creation(statement, job)
            case statements.RepairTable():
                lines = self._repair(statement, job)
            case statements.Prepare() | statements.Deallocate():
                pass  # the service has carried it out
            case _:
                raise AssertionError(f"no way to run {type(statement).__name__}")
        location = result_location(statement, job.output_folder, job.id)
        self._storage.put(location, "".join(f"{line}\n" for line in lines).encode())
        columns = [{"Name": name, "Label": name, "Type": "string", "Precision": 0, "Scale": 0} for name in names]
        return Outcome(location, columns=columns)

    def _create_external_table(self, statement: statements.CreateExternalTable, job: QueryJob) -> None:
        name = statement.table.within(job.database)
        location_of(statement.location)  # raises for a malformed one
        if statement.if_not_exists and self._catalog.find(name) is not None:
            return
        storage = (statement.location, statement.serde, statement.serde_parameters, statement.properties)
        self._catalog.create(Table(name, statement.columns, *storage))

    def _description(self, statement: statements.DescribeTable, job: QueryJob) -> list[str]:
        table = self._catalog.get(statement.table.within(job.database))
        partitions = [_described(*column) for column in table.partition_columns.items()]
        heading = [_described("", ""), "# Partition Information\t\t", "# col_name\tdata_type\tcomment"]
        columns = [_described(*column) for column in table.columns.items()]
        return columns + partitions + (heading + partitions if partitions else [])

    def _select(self, statement: statements.Select, job: QueryJob, watch: Callable[[Session], None]) -> Outcome:
        location = result_location(statement, job.output_folder, job.id)
        with self._session(statement.query, job, watch) as (session, sql, scanned):
            try:
                file, columns = results.write_csv(session.rows(sql))
            except duckdb.Error as error:
                raise failure(error) from error
            with file:
                self._storage.put(location, file)
        self._storage.put(f"{location}.metadata", results.metadata(columns))
        return Outcome(location, scanned, columns)

    def _create_table_as(
        self, statement: statements.CreateTableAs, job: QueryJob, watch: Callable[[Session], None]
    ) -> Outcome:
        name = statement.table.within(job.database)
        if job.enforced and statement.export.location:
            # https://docs.aws.amazon.com/athena/latest/ug/ctas-considerations-limitations.html
            raise QueryError(
                "The Create Table As Select query failed because it was submitted with an 'external_location' property "
                "to an Athena Workgroup that enforces a centralized output location for all queries. Please remove the "
                "'external_location' property and resubmit the query."
            )
        outcome = Outcome(result_location(statement, job.output_folder, job.id))
        export = replace(statement.export, location=as_folder(statement.export.location or outcome.output_location))
        if self._catalog.find(name) is not None:
            if statement.if_not_exists:
                return outcome
            raise QueryError(f"TABLE_ALREADY_EXISTS: Table '{name.name}' already exists")
        _require_column_names(statement.query)
        with self._session(statement.query, job, watch) as (session, sql, outcome.bytes_scanned):
            table = _created(name, session.describe(sql), export)
            if statement.with_data:
                self._export(session, sql, export, outcome)
            else:
                self._require_empty(export.location)
        self._catalog.create(table)
        return outcome

    def _unload(self, statement: statements.Unload, job: QueryJob, watch: Callable[[Session], None]) -> Outcome:
        outcome = Outcome(result_location(statement, job.output_folder, job.id))
        with self._session(statement.query, job, watch) as (session, sql, outcome.bytes_scanned):
            self._export(session, sql, statement.export, outcome)
        return outcome

    def _create_view(
        self, statement: statements.CreateView, job: QueryJob, watch: Callable[[Session], None]
    ) -> Outcome:
        """Register a view with the columns of its query, which has to be a valid one now."""
        name = statement.view.within(job.database)
        _require_column_names(statement.query)
        with self._session(statement.query, job, watch) as (session, sql, _):
            columns = {column.name: to_hive(column.type) for column in session.describe(sql)}
        view = Table(name, columns, "", "", view=statement.text, view_database=job.database)
        self._catalog.create_view(view, replace=statement.replace)
        location = result_location(statement, job.output_folder, job.id)
        self._storage.put(location, b"")
        return Outcome(location)

    def _creation(self, statement: statements.ShowCreate, job: QueryJob) -> list[str]:
        """https://docs.aws.amazon.com/athena/latest/ug/show-create-table.html, in the form of Hive's."""
        table = self._catalog.get(statement.table.within(job.database))
        if statement.is_view != bool(table.view):
            raise QueryError(
                f"FAILED: {table.name.database}.{table.name.name} is a {'view' if table.view else 'table'}"
            )
        if table.view:
            return f"CREATE VIEW {table.name.database}.{table.name.name} AS\n{table.view}".splitlines()
        formats = FORMATS.get(table.serde, TEXT_FORMATS)
        return [
            f"CREATE EXTERNAL TABLE `{table.name.database}.{table.name.name}`(",
            *_enclosed([f"`{name}` {kind}" for name, kind in table.columns.items()]),
            *(["PARTITIONED BY ( "] if table.partition_columns else []),
            *_enclosed([f"`{name}` {kind}" for name, kind in table.partition_columns.items()]),
            *(
                [f"CLUSTERED BY ( {', '.join(table.bucket_columns)}) ", f"INTO {table.buckets} BUCKETS"]
                * bool(table.buckets)
            ),
            "ROW FORMAT SERDE ",
            f"  '{table.serde}' ",
            *(["WITH SERDEPROPERTIES ( "] if table.serde_parameters else []),
            *_enclosed([f"'{name}'='{value}'" for name, value in table.serde_parameters.items()]),
            "STORED AS INPUTFORMAT ",
            f"  '{formats[0]}' ",
            "OUTPUTFORMAT ",
            f"  '{formats[1]}'",
            "LOCATION",
            f"  '{table.location}'",
            *(["TBLPROPERTIES ("] if table.properties else []),
            *_enclosed([f"'{name}'='{value}'" for name, value in table.properties.items() if name != "EXTERNAL"]),
        ]

    def _repair(self, statement: statements.RepairTable, job: QueryJob) -> list[str]:
        """Add the partitions of Hive's folders (`color=red/`) that the catalog lacks.

        https://docs.aws.amazon.com/athena/latest/ug/msck-repair-table.html
        """
        table = self._catalog.get(statement.table.within(job.database))
        if table.view or not table.location:
            raise QueryError(f"FAILED: {table.name.database}.{table.name.name} is a view")
        keys, folder = list(table.partition_columns), as_folder(table.location)
        present = self._catalog.partitions(table.name) if keys else set()
        absent: dict[tuple[str, ...], str] = {}
        for stored in self._storage.objects(table.location) if keys else []:
            parts = stored.uri.removeprefix(folder).split("/")[: len(keys)]
            pairs = [part.partition("=") for part in parts]
            if [name.lower() for name, _, _ in pairs] == keys and all(equals for _, equals, _ in pairs):
                values = tuple(unquote(value) for _, _, value in pairs)
                if values not in present:
                    absent[values] = f"{folder}{'/'.join(parts)}/"
        self._catalog.add_partitions(table, absent.items())
        names = ["/".join(f"{key}={value}" for key, value in zip(keys, values, strict=True)) for values in absent]
        full = f"{table.name.database}.{table.name.name}"
        missing = [f"Partitions not in metastore:\t{full}:{' '.join(names)}"] if names else []
        return missing + [f"Repair: Added partition to metastore {full}:{name}" for name in names]

    @contextmanager
    def _session(
        self, query: exp.Query, job: QueryJob, watch: Callable[[Session], None]
    ) -> Iterator[tuple[Session, str, int]]:
        """A sealed session with the query's tables, the query for DuckDB, and the bytes of the tables."""
        with closing(Session(self._storage.access, self._storage)) as session:
            watch(session)
            translated = translate(query, job.database)
            # Athena counts the bytes that it reads; here small data is read whole, and the tables' bytes are counted.
            scanned = self._add(session, translated.tables, set(), ())
            session.seal()
            yield session, translated.sql, scanned

    def _add(
        self, session: Session, names: Iterable[TableName], added: set[TableName], within: tuple[TableName, ...]
    ) -> int:
        """Add tables, and views after what they read, which are `within` others. Returns the tables' bytes."""
        scanned = 0
        for name in sorted(names, key=str):
            if name in added:
                continue
            if name in within:
                raise QueryError(f"INVALID_VIEW: View '{name.database}.{name.name}' is recursive")
            table = self._catalog.get(name)
            if table.view:
                statement = parse(table.view)
                if not isinstance(statement, statements.Select):
                    raise QueryError(f"INVALID_VIEW: View '{name.database}.{name.name}' has no query")
                translated = translate(statement.query, table.view_database)
                scanned += self._add(session, translated.tables, added, (*within, name))
                session.add_view(table, translated.sql)
            else:
                scanned += session.add(table)
            added.add(name)
        return scanned

    def _export(self, session: Session, sql: str, export: Export, outcome: Outcome) -> None:
        """Write Parquet and the manifest that lists its files. As in Athena, the objects have no suffix `.parquet`."""
        self._require_empty(export.location)
        outcome.rows_written = session.export(sql, export, name=outcome.output_location.rsplit("/", 1)[-1])
        written = self._storage.objects(export.location)
        if not outcome.rows_written:
            # Without rows DuckDB writes an empty file, and Athena none.
            for stored in written:
                self._storage.delete(stored.uri)
            written = []
        outcome.manifest = f"{outcome.output_location}-manifest.csv"
        self._storage.put(outcome.manifest, "".join(f"{stored.uri}\n" for stored in written).encode())
        self._storage.put(f"{outcome.output_location}.metadata", results.metadata([]))

    def _require_empty(self, location: str) -> None:
        # https://docs.aws.amazon.com/athena/latest/ug/ctas-considerations-limitations.html
        if not self._storage.is_empty(location):
            raise QueryError(
                f"HIVE_PATH_ALREADY_EXISTS: Target directory for table already exists: {location}. "
                "Location used for query results must be empty"
            )


def result_location(statement: Statement | QueryError, folder: str, query_id: str) -> str:
    """Where a statement's result is, from the beginning of its execution: `folder` ends with a slash.

    https://docs.aws.amazon.com/athena/latest/ug/querying-finding-output-files.html. The result of DDL and of utility
    statements is a text file. What is no statement of the local Athena counts as a query.
    """
    match statement:
        case statements.CreateTableAs():
            return f"{folder}tables/{query_id}"
        case statements.Unload():
            return f"{folder}{query_id}"
        case statements.Select() | QueryError():
            return f"{folder}{query_id}.csv"
    return f"{folder}{query_id}.txt"


def _enclosed(lines: list[str]) -> list[str]:
    """Lines of a list in parentheses, of which the first one is open already."""
    return [f"  {line}, " for line in lines[:-1]] + [f"  {line})" for line in lines[-1:]]


def _described(name: str, kind: str) -> str:
    return f"{name:<20}\t{kind:<20}\t{'':<20}"


def _require_column_names(query: exp.Query) -> None:
    for place, column in enumerate(output_columns(query), start=1):
        if not is_named(column):
            raise QueryError(f"SYNTAX_ERROR: Column name not specified at position {place}")


def _created(name: TableName, schema: pa.Schema, export: Export) -> Table:
    """The table that a CTAS registers.

    Raises QueryError if its partition columns are not the last ones, or if a bucket column is missing.
    """
    duplicate = next((column for column in schema.names if schema.names.count(column) > 1), None)
    if duplicate is not None:
        raise QueryError(f"DUPLICATE_COLUMN_NAME: Column name '{duplicate}' specified more than once")
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
