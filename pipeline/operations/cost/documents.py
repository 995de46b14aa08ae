"""Bills as JSON for machines: amounts in USD, rounded to a millionth."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from pipeline.operations.cost.facts import Facts
from pipeline.operations.cost.money import Bill, Item, Price, Range
from pipeline.operations.cost.rates import Assumption

_MILLIONTH = Decimal("0.000001")


def bill(found: Bill) -> dict[str, Any]:
    """A bill; `complete` is false where a price is not known, and `missing` says what to do."""
    return {
        "items": [_item(one) for one in found.items],
        "usd": amount(found.total),
        "complete": not found.missing,
        "missing": list(found.missing),
    }


def amount(value: Range) -> dict[str, float]:
    """A range of amounts."""
    return {"low": number(value.low), "high": number(value.high)}


def number(value: Decimal) -> float:
    """A number, rounded half up."""
    return float(value.quantize(_MILLIONTH, ROUND_HALF_UP))


def prices(found: Iterable[Price]) -> list[dict[str, Any]]:
    """Prices, each with its source and date, or with what it rests on where it was not read."""
    return [
        {
            "what": one.what,
            "usd": float(one.usd),
            "unit": one.unit,
            "region": one.region,
            "source": one.source or None,
            "date": one.date.isoformat() if one.date else None,
            "confirmed": one.confirmed,
            "basis": one.basis or None,
        }
        for one in found
    ]


def assumptions(found: Iterable[Assumption]) -> list[dict[str, Any]]:
    """What an estimate rests on."""
    return [
        {"name": one.name, **amount(one.value), "unit": one.unit, "why": one.why, "measured": one.measured}
        for one in found
    ]


def facts(found: Facts) -> dict[str, Any]:
    """The photos an estimate is for."""
    return {
        "photos": found.photos,
        "train": found.train,
        "validation": found.validation,
        "test": found.test,
        "average_kilobytes": number(found.kilobytes),
        "shard_gigabytes": number(found.shard_gigabytes),
        "origin": found.origin,
    }


def _item(one: Item) -> dict[str, Any]:
    usd = one.usd
    return {
        "part": one.part,
        "what": one.what,
        "quantity": amount(one.quantity),
        "unit": one.unit,
        "price": None if one.price is None else one.price.what,
        "usd": None if usd is None else amount(usd),
        "note": one.note,
    }
