"""DuckDB in isolation: a query can read and write the local S3 server only."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from importlib import resources
from urllib.parse import urlsplit

import duckdb
import pyarrow as pa
from sqlglot import exp

from pipeline.local.athena import serdes
from pipeline.local.athena.catalog import Table
from pipeline.local.athena.statements import Export, QueryError, unsupported
from pipeline.local.athena.storage import S3Access, Storage, as_folder
from pipeline.local.athena.translation import PATH_COLUMN, UNNAMED
from pipeline.local.athena.types import from_hive

# More than a small machine's cores: reading Parquet from S3 is mostly waiting.
THREADS = 8
MEMORY_LIMIT = "4GB"
ROWS_PER_BATCH = 8192
# Writers per CTAS. On AWS each worker has this many, so that a CTAS with buckets only may have more there.
# https://docs.aws.amazon.com/athena/latest/ug/ctas-partitioning-and-bucketing-what-is-bucketing.html
MOST_WRITERS = 100
_BUCKET = '"$bucket"'
# All file systems but S3's: local files, plain URLs, Hugging Face.
_DISABLED = "LocalFileSystem,HTTPFileSystem,HuggingFaceFileSystem"

_REASONS: tuple[tuple[str, tuple[type[Exception], ...]], ...] = (
    ("SYNTAX_ERROR", (duckdb.BinderException, duckdb.ParserException, duckdb.CatalogException)),
    ("PERMISSION_DENIED", (duckdb.PermissionException,)),
    ("INVALID_CAST_ARGUMENT", (duckdb.ConversionException,)),
    ("NUMERIC_VALUE_OUT_OF_RANGE", (duckdb.OutOfRangeException,)),
    ("HIVE_CANNOT_OPEN_SPLIT", (duckdb.HTTPException, duckdb.IOException)),
    ("EXCEEDED_LOCAL_MEMORY_LIMIT", (duckdb.OutOfMemoryException,)),
)
_MISSING_COLUMN = re.compile(r'Referenced column "([^"]+)" not found')


class Session:
    """The in-memory database of one query. The caller closes it."""

    def __init__(self, access: S3Access, storage: Storage) -> None:
        self._storage = storage
        self._interrupted = False
        self._connection = duckdb.connect(":memory:")
        extension = resources.files("duckdb_extension_httpfs") / "extensions" / f"v{duckdb.__version__}"
        self._connection.execute(f"LOAD '{extension / 'httpfs.duckdb_extension'}'")
        endpoint = urlsplit(access.endpoint)
        for name, value in {
            "s3_endpoint": endpoint.netloc,
            "s3_use_ssl": endpoint.scheme == "https",
            "s3_url_style": "path",
            "s3_access_key_id": access.access_key,
            "s3_secret_access_key": access.secret_key,
            "s3_session_token": access.token or "",
            "s3_region": access.region,
            "threads": THREADS,
            "memory_limit": MEMORY_LIMIT,
            # As in Trino: the quotient of integers is an integer.
            "integer_division": True,
            "TimeZone": "UTC",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_persistent_secrets": False,
            "python_enable_replacements": False,
            "enable_progress_bar": False,
        }.items():
            self._connection.execute(f"SET {name} = ?", [value])

    def add(self, table: Table) -> int:
        """Add a table of the catalog. Returns the bytes of its objects. Raises QueryError."""
        if table.serde not in serdes.SUPPORTED:
            raise unsupported(f"reading a table of the SerDe {table.serde}")
        objects = self._storage.objects(table.location)
        self._connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_quoted(str(table.name.database))}")
        target = f"{_quoted(str(table.name.database))}.{_quoted(table.name.name)}"
        uris = [stored.uri for stored in objects if stored.size]
        if table.serde == serdes.PARQUET and uris:
            self._execute(f"CREATE VIEW {target} AS {_parquet_query(table, uris)}")
        else:
            schema = pa.schema([(name, from_hive(kind)) for name, kind in table.columns.items()])
            whole = schema.append(pa.field(PATH_COLUMN, pa.string()))
            files = self._storage.read(objects)
            batches = serdes.record_batches(table.serde, table.serde_parameters, schema, files)
            self._load(target, whole, batches)
        return sum(stored.size for stored in objects)

    def add_view(self, view: Table, sql: str) -> None:
        """Add a view by its query for DuckDB, after the tables that it reads."""
        self._connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_quoted(str(view.name.database))}")
        target = f"{_quoted(str(view.name.database))}.{_quoted(view.name.name)}"
        # A star leaves the path out: translation.py.
        columns = f'*, NULL::VARCHAR AS "{PATH_COLUMN}"'
        self._execute(f"CREATE VIEW {target} AS SELECT {columns} FROM ({self._with_athena_columns(sql)})")  # noqa: S608

    def _load(self, target: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
        """Load the batches into a table: a reader can be read once only, and a query may name its table twice."""
        failures: list[QueryError] = []

        def recorded() -> Iterator[pa.RecordBatch]:
            try:
                yield from batches
            except QueryError as reason:
                # DuckDB wraps it into an error of its own.
                failures.append(reason)
                raise

        self._connection.register("incoming", pa.RecordBatchReader.from_batches(schema, recorded()))
        try:
            self._connection.execute(f"CREATE TABLE {target} AS SELECT * FROM incoming")  # noqa: S608  # `target` is quoted
        except duckdb.Error as error:
            raise (failures[0] if failures else failure(error)) from error
        self._connection.unregister("incoming")

    def seal(self) -> None:
        """Turn off all file systems but S3's, irreversibly. To be called before the query."""
        self._connection.execute(f"SET disabled_filesystems = '{_DISABLED}'")
        self._connection.execute("SET lock_configuration = true")

    def describe(self, sql: str) -> pa.Schema:
        """Names and types of the query's columns."""
        reader: pa.RecordBatchReader = self._execute(f"{self._with_athena_columns(sql)} LIMIT 0").to_arrow_reader(1)
        return reader.schema

    def rows(self, sql: str) -> pa.RecordBatchReader:
        """The query's rows as a stream. Reading them may raise a DuckDB error: see `failure`."""
        return self._execute(self._with_athena_columns(sql)).to_arrow_reader(ROWS_PER_BATCH)

    def export(self, sql: str, export: Export, *, name: str) -> int:
        """Write the query's rows as Parquet below the export's location, in objects `name_N`. Returns their number.

        A row's bucket is chosen by DuckDB's hash, not Hive's. Raises QueryError for more writers than Athena opens.
        """
        if not export.partitioned_by and not export.bucketed_by:
            return self._copy(self._with_athena_columns(sql), export, f"{name}_0")
        # Buckets and the number of partitions both need all rows; the query runs once.
        self._execute(f"CREATE TABLE exported AS {self._with_athena_columns(sql)}")
        if export.bucketed_by:
            self._execute(f"ALTER TABLE exported ADD COLUMN {_BUCKET} INTEGER")
            value = f"hash({_listed(export.bucketed_by)}) % {export.bucket_count}"
            self._execute(f"UPDATE exported SET {_BUCKET} = {value}")  # noqa: S608
        self._limit_writers(export)
        if not export.bucketed_by:
            return self._copy("FROM exported", export, name)
        rows = 0
        buckets = self._execute(f"SELECT DISTINCT {_BUCKET} FROM exported ORDER BY 1").fetchall()  # noqa: S608
        for (bucket,) in buckets:
            # https://docs.aws.amazon.com/athena/latest/ug/ctas-partitioning-and-bucketing-what-is-bucketing.html
            # "The bucket that a file belongs to is encoded in the file name."
            select = f"SELECT * EXCLUDE ({_BUCKET}) FROM exported WHERE {_BUCKET} = {bucket}"  # noqa: S608
            rows += self._copy(select, export, f"{name}_bucket-{bucket:05d}")
        return rows

    def _limit_writers(self, export: Export) -> None:
        columns = _listed(export.partitioned_by) or "1"
        distinct = f"SELECT count(*) FROM (SELECT DISTINCT {columns} FROM exported)"  # noqa: S608
        row = self._execute(distinct).fetchone()
        assert row is not None
        if row[0] * max(1, export.bucket_count) > MOST_WRITERS:
            raise QueryError(
                f"HIVE_TOO_MANY_OPEN_PARTITIONS: Exceeded limit of {MOST_WRITERS} open writers for partitions/buckets"
            )

    def _copy(self, query: str, export: Export, file: str) -> int:
        """Write to the object `file`, or with partitions to `file_N` in each. Returns the number of rows."""
        target, options = as_folder(export.location) + file, ["FORMAT parquet", f"COMPRESSION {export.compression}"]
        if export.partitioned_by:
            target = as_folder(export.location).rstrip("/")
            options += [f"PARTITION_BY ({_listed(export.partitioned_by)})", "OVERWRITE_OR_IGNORE"]
            options += [f"FILENAME_PATTERN '{file}_{{i}}'"]
        row = self._execute(f"COPY ({query}) TO {_text(target)} ({', '.join(options)})").fetchone()
        assert row is not None
        return int(row[0])

    def interrupt(self) -> None:
        """Stop the statement that runs, and all later ones. Called from another thread."""
        self._interrupted = True
        # The session may have been closed meanwhile.
        with contextlib.suppress(duckdb.ConnectionException):
            self._connection.interrupt()

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def _with_athena_columns(self, sql: str) -> str:
        """The query with column names in lower case, and with types that Athena has."""
        try:
            relation = self._connection.sql(sql)
        except duckdb.Error as error:
            raise failure(error) from error
        columns = []
        for place, (given, kind) in enumerate(zip(relation.columns, relation.types, strict=True), start=1):
            name = f"_col{place - 1}" if given.startswith(UNNAMED) else given.lower()
            # Sums of integers are 128 bits wide in DuckDB, 64 in Trino.
            value = f"CAST(#{place} AS BIGINT)" if str(kind) == "HUGEINT" else f"#{place}"
            columns.append(f"{value} AS {_quoted(name)}")
        return f"SELECT {', '.join(columns)} FROM ({sql})"  # noqa: S608  # `sql` is the query itself

    def _execute(self, sql: str) -> duckdb.DuckDBPyConnection:
        if self._interrupted:
            raise QueryError("Query cancelled by user")
        try:
            return self._connection.execute(sql)
        except duckdb.Error as error:
            raise failure(error) from error


def failure(error: duckdb.Error) -> QueryError:
    """The reason of a failed query, with Athena's name for it if there is one."""
    message = str(error).split("\n\n")[0].replace("\n", " ")
    if missing := _MISSING_COLUMN.search(message):
        return QueryError(f"COLUMN_NOT_FOUND: Column '{missing[1]}' cannot be resolved")
    name = next((name for name, kinds in _REASONS if isinstance(error, kinds)), "GENERIC_INTERNAL_ERROR")
    return QueryError(f"{name}: {message}")


def _parquet_query(table: Table, uris: list[str]) -> str:
    columns = [
        f"CAST({_quoted(name)} AS {exp.DataType.build(kind, dialect='hive').sql('duckdb')}) AS {_quoted(name)}"
        for name, kind in {**table.columns, **table.partition_columns}.items()
    ]
    files = ", ".join(_text(uri) for uri in uris)
    partitioned = ", hive_partitioning = true, hive_types_autocast = false" if table.partition_columns else ""
    source = f"read_parquet([{files}], filename = '{PATH_COLUMN}'{partitioned})"
    return f'SELECT {", ".join(columns)}, "{PATH_COLUMN}" FROM {source}'  # noqa: S608  # every part is quoted


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(_quoted, names))


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
