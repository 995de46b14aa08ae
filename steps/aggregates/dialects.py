"""What differs between the SQL of Athena (Trino), DuckDB and Spark, for the statements of this package.

Everything else is written in what the three have in common: subqueries, joins, CASE, GROUP BY, window functions,
`items[key]` and `struct.field`, doubles as `1.5E+00`.
https://trino.io/docs/current/functions.html
https://duckdb.org/docs/stable/sql/introduction
https://spark.apache.org/docs/3.5.6/sql-ref.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Dialect:
    """The expressions of one engine.

    `length(array)` is the number of an array's elements. `elements(table, columns, array, name)` is a subquery of
    a table with a row per element of an array: the columns, and the element as `name`. `items(table, columns)` has a
    row per item of a bin, from the column `items` of consolidated metadata: the columns, and the item as `item`. Rows
    whose array or map is empty or NULL are left out of both.
    """

    name: str
    length: Callable[[str], str]
    elements: Callable[[str, str, str, str], str]
    items: Callable[[str, str], str]


def _joined(table: str, columns: str, array: str, name: str) -> str:
    return f"(SELECT {columns}, {name} FROM {table} AS whole CROSS JOIN UNNEST({array}) AS listed({name}))"  # noqa: S608


def _joined_items(table: str, columns: str) -> str:
    # UNNEST of rows makes a column of each field in Trino, and so none of the item.
    keys = _joined(table, f"{columns}, items", "map_keys(items)", "item_key")
    return f"(SELECT {columns}, items[item_key] AS item FROM {keys} AS keyed)"  # noqa: S608


def _selected(function: str) -> Callable[[str, str, str, str], str]:
    """As an expression of SELECT: a join with UNNEST takes DuckDB longer."""

    def elements(table: str, columns: str, array: str, name: str) -> str:
        return f"(SELECT {columns}, {function}({array}) AS {name} FROM {table} AS whole)"  # noqa: S608

    return elements


def _selected_items(function: str) -> Callable[[str, str], str]:
    elements = _selected(function)
    return lambda table, columns: elements(table, columns, "map_values(items)", "item")


ATHENA = Dialect("athena", "cardinality({})".format, _joined, _joined_items)
DUCKDB = Dialect("duckdb", "len({})".format, _selected("unnest"), _selected_items("unnest"))
SPARK = Dialect("spark", "size({})".format, _selected("explode"), _selected_items("explode"))
