"""How bills look in a terminal: lines, sums, and below them what they rest on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from rich.console import Console
from rich.text import Text

from pipeline.cli.tables import Table, simple_table
from pipeline.operations.cost.money import Bill, Item, Price, Range
from pipeline.operations.cost.rates import Assumption

_CENT = Decimal("0.01")


@dataclass(frozen=True)
class Sum:
    """A sum below the lines of a bill."""

    name: str
    amount: Range
    complete: bool


def usd(amount: Range) -> str:
    """`1.20`, `1.20 to 3.40`, or `< 0.01` for what is less than half a cent but not nothing."""
    return _span(_money(amount.low), _money(amount.high))


def quantity(amount: Range) -> str:
    """A number as short as it is still of use: three digits or more."""
    return _span(_short(amount.low), _short(amount.high))


def hours(seconds: Range) -> str:
    """`5 min to 2 h 10 min`."""
    return _span(_time(seconds.low), _time(seconds.high))


def bill_table(bill: Bill, sums: Sequence[Sum]) -> Table:
    """The lines of a bill, and sums below; lines of nothing that have nothing to say are left out."""
    table = simple_table("part", "what", "quantity", "USD")
    table.columns[-1].justify = "right"
    table.columns[-1].no_wrap = True
    before = ""
    for item in bill.items:
        if not item.quantity.high and not item.note:
            continue
        table.add_row("" if item.part == before else item.part, _what(item), *_amounts(item))
        before = item.part
    for one in sums:
        label = one.name if one.complete else f"{one.name}, incomplete"
        table.add_row(Text(label, style="bold"), "", "", Text(usd(one.amount), style="bold"))
    return table


def price_table(prices: Sequence[Price]) -> Table:
    """Prices with the date of each, and the number of its source in `sources`, or of what it rests on."""
    regions = {one.region for one in prices}
    table = simple_table(f"price in {regions.pop()}" if len(regions) == 1 else "price", "USD", "per", "read", "")
    where = sources(prices)
    for one in prices:
        doubt = Text("not confirmed" if one.date and not one.confirmed else "", style="yellow")
        number = f"[{where.index(one.origin) + 1}]"
        what = f"{one.what} in {one.region}" if len(regions) > 1 else one.what
        table.add_row(
            what,
            _price(one.usd),
            one.unit,
            Text(f"{one.date or 'not read'} {number}", style="" if one.date else "yellow"),
            doubt,
        )
    return table


def sources(prices: Iterable[Price]) -> list[str]:
    """Where prices were read, or what they rest on, each once."""
    return list(dict.fromkeys(one.origin for one in prices))


def assumption_table(assumptions: Iterable[Assumption]) -> Table:
    """What an estimate rests on beside prices."""
    table = simple_table("assumed", "", "because")
    table.columns[1].no_wrap = True
    for one in assumptions:
        why = f"{one.why} ({one.measured})" if one.measured else one.why
        table.add_row(f"{one.name}, {one.unit}" if one.unit else one.name, quantity(one.value), why)
    return table


def print_prices(console: Console, prices: Sequence[Price]) -> None:
    """The prices, and where they were read or what they rest on."""
    console.print(price_table(prices), highlight=False)
    for number, place in enumerate(sources(prices), 1):
        console.print(f"[{number}] {place}", markup=False, highlight=False, soft_wrap=True)


def _what(item: Item) -> Text:
    text = Text(item.what)
    if item.note:
        text.append(f" ({item.note})" if item.what else item.note, style="dim")
    return text


def _amounts(item: Item) -> tuple[str, Text]:
    amount = item.usd
    shown = f"{quantity(item.quantity)} {item.unit}" if item.quantity.high else ""
    if amount is None:
        return shown, Text("no price", style="bold red")
    return shown, Text(usd(amount))


def _span(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def _money(value: Decimal) -> str:
    rounded = value.quantize(_CENT, ROUND_HALF_UP)
    return "< 0.01" if value and not rounded else f"{rounded:,}"


def _short(value: Decimal) -> str:
    if value >= 100 or value == value.to_integral_value():
        return f"{value:,.0f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.2g}" if value >= Decimal("0.0001") else "< 0.0001"


def _price(value: Decimal) -> str:
    return f"{value.normalize():f}"


def _time(seconds: Decimal) -> str:
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
