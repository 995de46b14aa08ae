"""Amounts of money as ranges, prices that say where they come from, and bills made of both."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

# What instances are counted in: hours of each, added up.
INSTANCE_HOURS = "h"
SECONDS_AN_HOUR = Decimal(3600)
# What AWS takes for a month where it turns a price a month into one an hour (365 days * 24 h / 12).
HOURS_A_MONTH = Decimal(730)
# AWS counts storage and traffic in powers of two: https://aws.amazon.com/s3/faqs/ ("how is storage metered").
KILOBYTE, MEGABYTE, GIGABYTE = (Decimal(2) ** power for power in (10, 20, 30))
# Of Athena's terabyte it does not say which it is: the one that makes a query dearer.
ATHENA_MEGABYTE, ATHENA_TERABYTE = Decimal(10) ** 6, Decimal(10) ** 12


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, both included and neither below zero; what is known has both the same."""

    low: Decimal
    high: Decimal

    def __post_init__(self) -> None:
        if not Decimal(0) <= self.low <= self.high:
            raise ValueError(f"no range of amounts: {self.low} to {self.high}")

    @classmethod
    def of(cls, low: Decimal | int | str, high: Decimal | int | str | None = None) -> Range:
        """A range, or one value where `high` is left out."""
        return cls(Decimal(low), Decimal(low if high is None else high))

    @property
    def known(self) -> bool:
        """Whether it is one value."""
        return self.low == self.high

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.high + other.high)

    def __mul__(self, other: Range | Decimal | int) -> Range:
        factor = other if isinstance(other, Range) else Range.of(other)
        return Range(self.low * factor.low, self.high * factor.high)

    def __truediv__(self, other: Range | Decimal | int) -> Range:
        """What takes longest at the lowest rate."""
        divisor = other if isinstance(other, Range) else Range.of(other)
        return Range(self.low / divisor.high, self.high / divisor.low)

    def at_most(self, limit: Range | Decimal | int) -> Range:
        """The lesser of two, at both ends."""
        bound = limit if isinstance(limit, Range) else Range.of(limit)
        return Range(min(self.low, bound.low), min(self.high, bound.high))


NOTHING = Range.of(0)


def total(ranges: Iterable[Range]) -> Range:
    """The sum; zero of none."""
    return sum(ranges, NOTHING)


@dataclass(frozen=True)
class Price:
    """`usd` for one `unit` of `what`; where and when it was read, and whether that was confirmed.

    What was not read has neither a source nor a date, and says in `basis` what it rests on.
    """

    what: str
    usd: Decimal
    unit: str
    region: str
    source: str
    date: date | None
    confirmed: bool
    basis: str = ""

    @property
    def origin(self) -> str:
        """Where it was read, else what it rests on."""
        return self.source or self.basis


@dataclass(frozen=True)
class Item:
    """A line of a bill: so much of something, for a part of the run.

    A price that is not known is None, and `missing` says what to do: such a line has no amount, which is not zero.
    """

    part: str
    what: str
    quantity: Range
    unit: str
    price: Price | None
    note: str = ""
    missing: str = ""

    @property
    def usd(self) -> Range | None:
        """The amount, not rounded; None where there is something to pay at a price that is not known."""
        if not self.quantity.high:
            return NOTHING
        return None if self.price is None else self.quantity * self.price.usd


@dataclass(frozen=True)
class Bill:
    """Lines and their sum."""

    items: tuple[Item, ...]

    @property
    def total(self) -> Range:
        """The sum of the lines whose price is known."""
        return total(one.usd for one in self.items if one.usd is not None)

    @property
    def missing(self) -> tuple[str, ...]:
        """What to do about each price that is not known; the total is complete where there is none."""
        return tuple(dict.fromkeys(one.missing for one in self.items if one.usd is None))

    @property
    def prices(self) -> tuple[Price, ...]:
        """The prices that were counted with, each once, in the order of the lines."""
        used = (one.price for one in self.items if one.price is not None and one.quantity.high)
        return tuple(dict.fromkeys(used))


def instance_hours(seconds: Range | Decimal | int, instances: int) -> Range:
    """What is billed for `instances` that ran for so many seconds each; SageMaker bills by the second."""
    duration = seconds if isinstance(seconds, Range) else Range.of(seconds)
    return duration * instances / SECONDS_AN_HOUR


def volume_months(gigabytes: int, instances: int, seconds: Range | Decimal | int) -> Range:
    """GB-months of a volume of `gigabytes` at each of `instances` for so many seconds."""
    return instance_hours(seconds, instances) * gigabytes / HOURS_A_MONTH
