"""Bills in a terminal and as JSON: lines, sums, and the prices and assumptions that they rest on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from pipeline.cli.tables import Column, Table
from pipeline.operations.cost.before import HourlyCost, RunCost
from pipeline.operations.cost.money import Bill, Item, Price, Range
from pipeline.operations.cost.rates import Assumption
from pipeline.operations.cost.words import dollars, hourly_text, span, usd
from pipeline.texts import time_text
from steps.contracts.wording import count_of

_MILLIONTH = Decimal("0.000001")


def run_cost_lines(cost: RunCost, *, local: bool) -> list[str]:
    """What a run that is about to start will cost and how long it takes, and what that rests on."""
    bill = cost.estimate.run
    where = "this run costs nothing here; on AWS: " if local else "this run: "
    least = "at least " if bill.missing else ""
    photos = f"{count_of(cost.photos.total, 'photo')}, {cost.photos.origin.split(';', maxsplit=1)[0]}"
    lines = [f"{where}{least}{dollars(bill.total)} and {duration(cost.estimate.seconds)}; for {photos}"]
    lines += bill.missing
    if cost.endpoint is not None:
        lines.append(f"then its version is deployed: {hourly_text(cost.endpoint, local=local)}")
    return lines


def run_cost_document(cost: RunCost) -> dict[str, Any]:
    """What a run will cost, as JSON: the bill, seconds, photos, and what its own deployment costs per hour."""
    return {
        **bill_document(cost.estimate.run),
        "seconds": range_document(cost.estimate.seconds),
        "photos": vars(cost.photos),
        "endpoint": None if cost.endpoint is None else hourly_document(cost.endpoint),
    }


def hourly_document(cost: HourlyCost) -> dict[str, Any]:
    """What an endpoint costs per hour, as JSON; `usd` is null where the price is missing."""
    return {"machines": cost.machines, "usd": None if cost.usd is None else range_document(cost.usd)}


def quantity(amount: Range) -> str:
    """A number, or the two ends of a range, with about three digits."""
    return span(_short(amount.low), _short(amount.high))


def duration(seconds: Range) -> str:
    """`5 min 00 s to 2 h 10 min`."""
    return span(time_text(float(seconds.low)), time_text(float(seconds.high)))


def bill_table(bills: Mapping[str, Bill]) -> Table:
    """The lines of each bill with their sum below, by the sum's name. Lines without quantity and note are left out."""
    table = Table("part", "what", "quantity", Column("USD", "number", 2))
    for name, bill in bills.items():
        before = ""
        for item in bill.items:
            if item.quantity.high or item.note:
                table.add_row("" if item.part == before else item.part, *_cells(item))
                before = item.part
        label = f"{name}, incomplete" if bill.missing else name
        table.add_row(Text(label, style="bold"), "", "", Text(usd(bill.total), style="bold"))
    return table


def _cells(item: Item) -> tuple[Text, str, Text]:
    what = Text(item.what)
    if item.note:
        what.append(f" ({item.note})" if item.what else item.note, style="dim")
    shown = f"{quantity(item.quantity)} {item.unit}" if item.quantity.high else ""
    return what, shown, Text("no price", style="bold red") if item.usd is None else Text(usd(item.usd))


def basis(bill: Bill, assumptions: Iterable[Assumption], notes: Iterable[str]) -> Iterator[RenderableType]:
    """What the amounts of a bill rest on: prices with their sources, assumptions, missing prices and notes."""
    prices = Table("price", "region", Column("USD", "number"), "per", Column("read", "time"))
    origins = list(dict.fromkeys(price.origin for price in bill.prices))
    for price in bill.prices:
        read = Text(f"{price.date or 'no date'} [{origins.index(price.origin) + 1}]", "" if price.date else "yellow")
        prices.add_row(price.what, price.region, f"{price.usd.normalize():f}", price.unit, read)
    if prices.rows:
        yield from ("", prices)
    for number, origin in enumerate(origins, 1):
        yield f"[{number}] {origin}"
    assumed = Table("assumption", Column("", "number"), Column("because", priority=0))
    for assumption in assumptions:
        assumed.add_row(assumption.name, quantity(assumption.value), assumption.why)
    if assumed.rows:
        yield from ("", assumed)
    yield ""
    for line in bill.missing:
        yield Text(line, style="red")
    yield from notes


def bill_document(bill: Bill) -> dict[str, Any]:
    """A bill as JSON; `complete` is false where a price is missing."""
    items = [
        {
            **{name: getattr(item, name) for name in ("part", "what", "unit", "note")},
            "quantity": range_document(item.quantity),
            "price": item.price.what if item.price else None,
            "usd": None if item.usd is None else range_document(item.usd),
        }
        for item in bill.items
    ]
    missing = list(bill.missing)
    return {"items": items, "usd": range_document(bill.total), "complete": not missing, "missing": missing}


def range_document(amount: Range) -> dict[str, float]:
    """A range as JSON, rounded half up to a millionth."""
    return {end: float(getattr(amount, end).quantize(_MILLIONTH, ROUND_HALF_UP)) for end in ("low", "high")}


def price_documents(prices: Iterable[Price]) -> list[dict[str, Any]]:
    """Prices as JSON, each with its source and date, or its basis."""
    return [
        {
            **vars(price),
            "date": price.date.isoformat() if price.date else None,
            "source": price.source or None,
            "basis": price.basis or None,
        }
        for price in prices
    ]


def assumption_documents(assumptions: Iterable[Assumption]) -> list[dict[str, Any]]:
    """Assumptions as JSON."""
    return [{"name": each.name, **range_document(each.value), "why": each.why} for each in assumptions]


def _short(value: Decimal) -> str:
    if value >= 100 or value == value.to_integral_value():
        return f"{value:,.0f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.2g}" if value >= Decimal("0.0001") else "< 0.0001"
