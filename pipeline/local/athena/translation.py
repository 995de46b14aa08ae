"""A query in Athena's SQL -> the same query in DuckDB's, over tables of the catalog alone."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from pipeline.local.athena.failures import unsupported
from pipeline.local.athena.parsing import DIALECT, table_name
from pipeline.local.athena.statements import TableName

PATH_COLUMN = "$path"
UNNAMED = "$unnamed"

# Functions that sqlglot knows no class for and that mean the same, by the same name, in Trino and in DuckDB.
# Any other is refused: DuckDB has functions of its own that Athena has not.
_SAME_IN_BOTH = {
    "array_distinct",
    "bit_count",
    "cbrt",
    "degrees",
    "ends_with",
    "list_sum",
    "map_entries",
    "map_values",
    "radians",
    "regexp_extract_all",
    "strpos",
    "url_decode",
    "url_encode",
}


@dataclass(frozen=True)
class Translated:
    """DuckDB's text, and the tables of the catalog that it reads."""

    sql: str
    tables: frozenset[TableName]


def translate(query: exp.Query, database: str | None) -> Translated:
    """The query for DuckDB, every table named in full.

    Raises QueryError for functions and table sources that are not Athena's or not known here.
    """
    query = query.copy()
    _refuse(query)
    tables = _qualify(query, database)
    for select in list(query.find_all(exp.Select)):
        _hide_path(select)
    _name_outputs(query)
    return Translated(query.sql("duckdb"), frozenset(tables))


def output_columns(query: exp.Query) -> list[exp.Expression]:
    """The expressions of the result's columns."""
    while isinstance(query, exp.Subquery | exp.SetOperation):
        query = query.this
    return list(query.expressions)


def is_named(column: exp.Expression) -> bool:
    """Whether a result column has a name of its own: an alias, a column's or a field's, or comes from a star."""
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
    """`"$path"` is a column that a query may name and a star does not show.

    https://docs.aws.amazon.com/athena/latest/ug/querying-athena-tables.html
    """
    physical = {table.alias_or_name for table in _sources(select) if isinstance(table, exp.Table) and table.db}
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
            hidden = exp.column(exp.to_identifier(PATH_COLUMN, quoted=True))
            column.this.set("except_", [hidden])


def _sources(select: exp.Select) -> list[exp.Expression]:
    source = select.args.get("from_")
    joins = select.args.get("joins") or []
    return [part.this for part in [source, *joins] if part is not None]


def _name_outputs(query: exp.Query) -> None:
    """Mark the columns without a name: Trino calls them by their place, which a star before them moves."""
    for column in output_columns(query):
        if not is_named(column):
            column.replace(exp.alias_(column.copy(), UNNAMED, quoted=True))
