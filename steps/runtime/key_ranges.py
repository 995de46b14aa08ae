"""Where a listing can be cut: names that are likely to be a page apart, guessed from the names of a page.

A guess costs at most a request, and no key: a listing between two names has every key between them.
"""

from __future__ import annotations

import string
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest

# A name has at most 1,024 bytes, four per character at most:
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
DEEPEST = 256
# Pieces are a little smaller than a page: a piece that overflows needs a second request.
FILLED = (9, 10)
# Pairs of neighbours of a page that are compared.
PAIRS = 8
# Pages whose characters count: what was left behind says nothing about what is ahead.
RECENT = 16
_HEXADECIMAL = 6


@dataclass(frozen=True)
class _Column:
    """The characters of a page at one position, and whether it began again: then no others belong there."""

    seen: frozenset[str]
    began_again: bool


class Alphabets:
    """The characters that the names of recent pages have at each position.

    A position that has not begun again also has others of the same kind, such as all digits after the first ones.
    """

    def __init__(self) -> None:
        self._pages: deque[list[_Column]] = deque(maxlen=RECENT)

    def add(self, names: Sequence[str], depth: int) -> None:
        """Learn the characters of a page's names, in order, at their first `depth` positions."""
        columns = islice(zip_longest(*names, fillvalue=""), depth)
        self._pages.append(
            [_Column(frozenset(set(column) - {""}), list(column) != sorted(column)) for column in columns]
        )

    def first(self, depth: int) -> tuple[str, ...]:
        """The characters of the first `depth` positions, each in order; empty where no name was that long."""
        return tuple(self._at(position) for position in range(depth))

    def _at(self, position: int) -> str:
        columns = [page[position] for page in self._pages if position < len(page)]
        seen = set[str]().union(*(column.seen for column in columns))
        return "".join(sorted(seen if any(column.began_again for column in columns) else _with_their_kind(seen)))


def _with_their_kind(seen: set[str]) -> set[str]:
    """The characters, with all digits, and all letters of a case, where some occur; of a to f those alone."""
    complete = set(seen)
    if seen & set(string.digits):
        complete |= set(string.digits)
    for letters in (string.ascii_lowercase, string.ascii_uppercase):
        if some := seen & set(letters):
            complete |= set(letters[:_HEXADECIMAL] if some <= set(letters[:_HEXADECIMAL]) else letters)
    return complete


def _common(first: str, second: str) -> int:
    """Number of characters that two different names begin with, both of them."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((place for place, (mine, other) in pairs if mine != other), min(len(first), len(second)))


@dataclass(frozen=True)
class Ruler:
    """Names as numbers whose digits are characters, and how far apart a page's first and last name are in them."""

    alphabets: tuple[str, ...]
    stride: int

    @classmethod
    def of(cls, names: Sequence[str], alphabets: Alphabets) -> Ruler | None:
        """A ruler by the names of one page, in order; None where they have too much in common to measure them."""
        if len(names) < 2:
            return None
        places = range(0, len(names) - 1, max(1, (len(names) - 1) // PAIRS))
        depth = 1 + max(_common(*names[place : place + 2]) for place in places)
        if depth > DEEPEST:
            return None
        alphabets.add(names, depth)
        ruler = cls(alphabets.first(depth), 0)
        span = ruler.value(names[-1]) - ruler.value(names[0])
        return cls(ruler.alphabets, max(1, span * FILLED[0] // FILLED[1]))

    def next(self, after: str, until: str | None) -> str | None:
        """A name between `after` and `until` (None: no end) that may be a page after `after`; None where none is."""
        name = self.name(self.value(after) + self.stride)
        return name if name is not None and name > after and (until is None or name < until) else None

    def value(self, name: str) -> int:
        """The number of a name; the order is kept, though names may share a number."""
        number = 0
        for position, alphabet in enumerate(self.alphabets):
            rank = bisect_left(alphabet, name[position]) if position < len(name) else 0
            if rank == len(alphabet):
                # After all names that have these first characters.
                return self._last(number, position)
            number = number * len(alphabet) + rank
            if position < len(name) and alphabet[rank] != name[position]:
                # Before all names that go on with the next character of the alphabet.
                return self._first(number, position + 1)
        return number

    def _first(self, number: int, depth: int) -> int:
        for alphabet in self.alphabets[depth:]:
            number *= len(alphabet)
        return number

    def _last(self, number: int, depth: int) -> int:
        return self._first(number + 1, depth) - 1

    def name(self, value: int) -> str | None:
        """The first name of a number; None for a number past the last one."""
        characters = []
        for alphabet in reversed(self.alphabets):
            value, rank = divmod(value, len(alphabet))
            characters.append(alphabet[rank])
        return None if value else "".join(reversed(characters))
