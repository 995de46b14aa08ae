"""Translates a query from Athena's SQL to DuckDB's, over tables of the catalog only."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from pipeline.local.athena.parsing import DIALECT, table_name
from pipeline.local.athena.statements import TableName, unsupported

PATH_COLUMN = "$path"
UNNAMED = "$unnamed"

# Functions without a class in sqlglot that have the same name and meaning in Trino and DuckDB. Others are refused:
# DuckDB has functions that Athena does not have.
_SAME_IN_BOTH = {
    *("array_distinct", "bit_count", "cbrt", "degrees", "ends_with", "list_sum", "map_entries", "map_values"),
    *("radians", "regexp_extract_all", "strpos", "url_decode", "url_encode"),
}


@dataclass(frozen=True)
class Translation:
    """A query's text for DuckDB, and the tables of the catalog that it reads."""

    sql: str
    tables: frozenset[TableName]


def translate(query: exp.Query, database: str | None) -> Translation:
    """The query for DuckDB, with full table names.

    Raises QueryError for functions and table sources that Athena, or the local Athena, does not have.
    """
    query = query.copy()
    _refuse(query)
    tables = _qualify(query, database)
    for select in list(query.find_all(exp.Select)):
        _hide_path(select)
    _name_outputs(query)
    return Translation(query.sql("duckdb"), frozenset(tables))


def output_columns(query: exp.Query) -> list[exp.Expression]:
    """The expressions of the result's columns."""
    while isinstance(query, exp.Subquery | exp.SetOperation):
        query = query.this
    return list(query.expressions)


def is_named(column: exp.Expression) -> bool:
    """Whether a result column has a name: an alias, that of a column or field, or one from a star."""
    if isinstance(column, exp.Subquery):
        return bool(column.alias)
    return isinstance(column, exp.Alias | exp.Column | exp.Dot | exp.Star | exp.Columns)


def _refuse(query: exp.Query) -> None:
    for node in query.walk():
        match node:
            case exp.Anonymous() if node.name.lower() not in _SAME_IN_BOTH:
                raise unsupported(f"the function {node.name}")
            case exp.ReadCSV() | exp.ReadParquet():
                raise unsupported(f"the function {node.sql(DIALECT)}")
            case exp.Into() | exp.Command() | exp.Placeholder() | exp.Parameter() | exp.Columns():
                raise unsupported(node.sql(DIALECT))


def _qualify(query: exp.Query, database: str | None) -> set[TableName]:
    defined = {cte.alias.lower() for cte in query.find_all(exp.CTE)}
    tables = set()
    for table in list(query.find_all(exp.Table)):
        name = table_name(table)
        if name.database is None and name.name in defined:
            continue
        full = name.within(database)
        tables.add(full)
        table.set("catalog", None)
        table.set("db", exp.to_identifier(full.database, quoted=True))
        table.set("this", exp.to_identifier(full.name, quoted=True))
    return tables


def _hide_path(select: exp.Select) -> None:
    """Exclude the column `"$path"` from stars; a query may name it.

    https://docs.aws.amazon.com/athena/latest/ug/querying-athena-tables.html
    """
    parts = [part for part in (select.args.get("from_"), *(select.args.get("joins") or [])) if part is not None]
    tables = [part.this for part in parts if isinstance(part.this, exp.Table)]
    physical = {table.alias_or_name for table in tables if table.db}
    everything = exp.Lambda(
        this=exp.NEQ(this=exp.to_identifier("c"), expression=exp.Literal.string(PATH_COLUMN)),
        expressions=[exp.to_identifier("c")],
    )
    for column in list(select.expressions):
        if isinstance(column, exp.Star):
            if any(column.args.values()):
                raise unsupported(column.sql("duckdb"))
            column.replace(exp.Columns(this=everything.copy()))
        elif isinstance(column, exp.Column) and isinstance(column.this, exp.Star) and column.table in physical:
            column.this.set("except_", [exp.column(exp.to_identifier(PATH_COLUMN, quoted=True))])


def _name_outputs(query: exp.Query) -> None:
    """Mark the columns without a name. Trino names them by their place, which depends on stars before them."""
    for column in output_columns(query):
        if not is_named(column):
            column.replace(exp.alias_(column.copy(), UNNAMED, quoted=True))
