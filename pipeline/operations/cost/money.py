"""Amounts of money as ranges, prices with their source and date, and bills."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

# Unit of instance time: the hours of all instances, added up.
INSTANCE_HOURS = "h"
SECONDS_PER_HOUR = Decimal(3600)
# AWS's month where a price per month becomes one per hour (365 days * 24 h / 12).
HOURS_PER_MONTH = Decimal(730)
# AWS counts storage in powers of two: https://aws.amazon.com/s3/faqs/ ("how is storage metered").
KILOBYTE, GIGABYTE = Decimal(2) ** 10, Decimal(2) ** 30


@dataclass(frozen=True)
class Range:
    """An amount between `low` and `high`, both included and not negative; an exact amount has both the same."""

    low: Decimal
    high: Decimal

    def __post_init__(self) -> None:
        if not Decimal(0) <= self.low <= self.high:
            raise ValueError(f"no range of amounts: {self.low} to {self.high}")

    @classmethod
    def of(cls, low: Decimal | int | str, high: Decimal | int | str | None = None) -> Range:
        """A range, or an exact amount where `high` is left out."""
        return cls(Decimal(low), Decimal(low if high is None else high))

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.high + other.high)

    def __mul__(self, other: Range | Decimal | int) -> Range:
        factor = _as_range(other)
        return Range(self.low * factor.low, self.high * factor.high)

    def __truediv__(self, other: Range | Decimal | int) -> Range:
        """The quotient; the lowest divisor makes the high end."""
        divisor = _as_range(other)
        return Range(self.low / divisor.high, self.high / divisor.low)

    def at_least(self, other: Range) -> Range:
        """The larger of two, at both ends."""
        return Range(max(self.low, other.low), max(self.high, other.high))

    def at_most(self, other: Range | Decimal | int) -> Range:
        """The lesser of two, at both ends."""
        limit = _as_range(other)
        return Range(min(self.low, limit.low), min(self.high, limit.high))


ZERO = Range.of(0)


def _as_range(value: Range | Decimal | int) -> Range:
    return value if isinstance(value, Range) else Range.of(value)


@dataclass(frozen=True)
class Price:
    """`usd` for one `unit` of `what`.

    A figure that was read has a source and a date; any other has neither, and a `basis` that it was derived from.
    """

    what: str
    usd: Decimal
    unit: str
    region: str
    source: str = ""
    date: date | None = None
    basis: str = ""

    @property
    def origin(self) -> str:
        """The source, or the basis where there is none."""
        return self.source or self.basis


@dataclass(frozen=True)
class Item:
    """A line of a bill. Without a price it has no amount, which is not zero; `missing` states what to do about that."""

    part: str
    what: str
    quantity: Range
    unit: str
    price: Price | None
    note: str = ""
    missing: str = ""

    @property
    def usd(self) -> Range | None:
        """The amount, not rounded; None where the price is missing."""
        if not self.quantity.high:
            return ZERO
        return None if self.price is None else self.quantity * self.price.usd


@dataclass(frozen=True)
class Bill:
    """Lines and their sum."""

    items: tuple[Item, ...]

    @property
    def total(self) -> Range:
        """The sum of the lines that have an amount."""
        return sum((item.usd for item in self.items if item.usd is not None), ZERO)

    @property
    def missing(self) -> tuple[str, ...]:
        """What to do about each missing price; the total is complete where this is empty."""
        return tuple(dict.fromkeys(item.missing for item in self.items if item.usd is None))

    @property
    def prices(self) -> tuple[Price, ...]:
        """The prices of the lines, each once, in the order of the lines."""
        return tuple(dict.fromkeys(item.price for item in self.items if item.price is not None and item.quantity.high))
