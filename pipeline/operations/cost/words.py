"""Amounts of money in words, the same in a terminal and on a page."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from pipeline.operations.cost.before import HourlyCost
from pipeline.operations.cost.money import Range
from pipeline.operations.cost.standing import Standing
from steps.contracts.wording import count_of

_CENT = Decimal("0.01")


def usd(amount: Range) -> str:
    """`1.20`, `1.20 to 3.40`, or `< 0.01` for less than half a cent that is not zero."""
    return span(_money(amount.low), _money(amount.high))


def dollars(amount: Range) -> str:
    """`$1.20`, `$1.20 to $3.40`, or `< $0.01`, for a sentence."""
    return span(*(_dollars(end) for end in (amount.low, amount.high)))


def hourly_text(cost: HourlyCost, *, local: bool) -> str:
    """`$0.20 an hour and $148.92 a month (ml.c5.xlarge)`; for the local cloud with what AWS would bill."""
    month = cost.month
    if cost.per_request:
        text = "nothing without requests (serverless)"
    elif cost.usd is None or month is None:
        text = f"an amount that is not known ({cost.missing})"
    else:
        text = f"{dollars(cost.usd)} an hour, {dollars(month)} a month ({cost.machines})"
    return f"nothing here; on AWS {text}" if local else text


def standing_lines(standing: Standing, command: str, *, local: bool) -> list[str]:
    """What goes on costing, besides storage; `command` is the command line before a command's name."""
    lines = []
    if standing.endpoint is not None and standing.hourly is not None:
        costs = hourly_text(standing.hourly, local=local)
        lines.append(f"the endpoint {standing.endpoint.name} ({standing.endpoint.status}) costs {costs}")
    lines += [f"the run {run} goes on costing; so far: {command} cost {run}" for run in standing.runs]
    if standing.schedules:
        number = count_of(len(standing.schedules), "schedule")
        lines.append(f"{number} will start more: {', '.join(standing.schedules)}; see: {command} schedules")
    if not lines and not standing.problems:
        lines.append("nothing goes on costing, besides storage")
    return [*lines, *standing.problems]


def span(low: str, high: str) -> str:
    """Both ends, or one text where they are the same."""
    return low if low == high else f"{low} to {high}"


def _dollars(amount: Decimal) -> str:
    text = _money(amount)
    return f"< ${text.removeprefix('< ')}" if text.startswith("<") else f"${text}"


def _money(value: Decimal) -> str:
    rounded = value.quantize(_CENT, ROUND_HALF_UP)
    return "< 0.01" if value and not rounded else f"{rounded:,}"
