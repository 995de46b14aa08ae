"""Numbers with their nouns, as every message and page has them."""

from __future__ import annotations


def count_of(number: int, noun: str, plural: str = "") -> str:
    """`1 shard`, `1,200 shards`; `plural` is for a noun that takes no s, as `queries`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
