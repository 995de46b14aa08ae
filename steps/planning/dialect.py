"""The few expressions in which the rule's SQL differs between engines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Dialect(Protocol):
    """Expressions as SQL text. Numbers are BIGINT; hashes are of 63 or 64 bits and hold within a session only."""

    def number(self) -> str:
        """A number of the row, unique in the table that is created."""

    def matches(self, column: str, pattern: str) -> str:
        """Whether a text contains a match of the regular expression `pattern`, anchored by \\A and \\z."""

    def shuffle_key(self, column: str) -> str:
        """`steps.planning.assigning.shuffle_key` of a text: 64 bits with the highest turned over, so that the order of
        signed numbers is theirs."""

    def codes(self, column: str, without: Sequence[int] = ()) -> str:
        """The sorted distinct hashes of a list of texts, without nulls and the hashes `without`."""

    def length(self, column: str) -> str:
        """The length of a list; 0 for null."""

    def element(self, column: str, place: int) -> str:
        """An element of a list, counted from 1."""

    def hash(self, expression: str) -> str:
        """A hash of a text or a number."""

    def xor(self, expressions: Sequence[str]) -> str:
        """The exclusive or of numbers."""

    def xor_of(self, column: str) -> str:
        """The exclusive or of a list of numbers; 0 for an empty list."""

    def hashes(self, column: str) -> str:
        """A list with the hash of each number of a list."""

    def exploded(self, table: str, columns: Sequence[str], column: str, name: str) -> str:
        """A query of `columns` of `table`, once per element of the list `column`, which is called `name`."""

    def subsets(
        self, table: str, columns: Sequence[str], lists: Mapping[str, str], tag: int, subsets: Sequence[Sequence[int]]
    ) -> str:
        """A query of `columns` of the rows of a table, once per subset of places in its lists.

        For each list, by the name of a column, it has the exclusive or of `tag` and of the list's elements there.
        """

    def unit(self, key: str) -> str:
        """A `shuffle_key` as a number from 0 to 1."""
