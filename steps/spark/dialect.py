"""Spark's expressions for the rule of a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class SparkDialect:
    """See steps.planning.dialect.Dialect. A hash has 64 bits."""

    def number(self) -> str:
        """See Dialect. Numbers have gaps: each task has its own."""
        return "monotonically_increasing_id()"

    def matches(self, column: str, pattern: str) -> str:
        """See Dialect."""
        escaped = pattern.replace("\\", "\\\\")
        return f"({column} RLIKE '{escaped}')"

    def shuffle_key(self, column: str) -> str:
        """See Dialect. The function is registered by the session."""
        return f"shuffle_key({column})"

    def codes(self, column: str, without: Sequence[int] = ()) -> str:
        """See Dialect."""
        texts = f"filter({column}, item -> item IS NOT NULL)"
        codes = f"array_sort(array_distinct(transform({texts}, item -> {self.hash('item')})))"
        return f"array_except({codes}, array({', '.join(f'{code}L' for code in without)}))" if without else codes

    def length(self, column: str) -> str:
        """See Dialect."""
        return f"coalesce(cardinality({column}), 0)"

    def element(self, column: str, place: int) -> str:
        """See Dialect."""
        return f"element_at({column}, {place})"

    def hash(self, expression: str) -> str:
        """See Dialect."""
        return f"xxhash64({expression})"

    def xor(self, expressions: Sequence[str]) -> str:
        """See Dialect."""
        return f"({' ^ '.join(expressions)})"

    def xor_of(self, column: str) -> str:
        """See Dialect."""
        return f"coalesce(aggregate({column}, 0L, (before, item) -> before ^ item), 0L)"

    def hashes(self, column: str) -> str:
        """See Dialect."""
        return f"transform({column}, item -> {self.hash('item')})"

    def exploded(self, table: str, columns: Sequence[str], column: str, name: str) -> str:
        """See Dialect."""
        return f"SELECT {', '.join(columns)}, explode({column}) AS {name} FROM {table}"

    def subsets(
        self, table: str, columns: Sequence[str], lists: Mapping[str, str], tag: int, subsets: Sequence[Sequence[int]]
    ) -> str:
        """See Dialect. By loops over lists: an expression per subset is more code than Java takes in a method."""
        listed = ", ".join(f"array({', '.join(map(str, places))})" for places in subsets)
        hashes = ", ".join(
            f"aggregate(places, {tag}L, (before, place) -> before ^ element_at({column}, place))"
            for column in lists.values()
        )
        return (
            f"SELECT inline(transform(array({listed}), places -> struct({hashes}))) AS ({', '.join(lists)}),"
            f" {', '.join(columns)} FROM {table}"
        )

    def unit(self, key: str) -> str:
        """See Dialect."""
        whole = f"CAST({key} AS DECIMAL(20, 0)) + CAST('9223372036854775808' AS DECIMAL(20, 0))"
        return f"(CAST({whole} AS DOUBLE) / 18446744073709551616D)"
