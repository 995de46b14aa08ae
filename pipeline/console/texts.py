"""Numbers and statuses as pages show them."""

from __future__ import annotations

from decimal import Decimal

from pipeline.operations.cost.money import Range
from pipeline.texts import duration, minute, moment, shortened, time_text

__all__ = ["amount", "dollars", "duration", "fixed", "kind", "minute", "moment", "shortened", "time_text"]

MISSING = "-"
_CENT = Decimal("0.01")
# Kinds of statuses, which decide mark and colour (console.css); colour is never the only sign of a status.
_KINDS = {
    "good": ("Succeeded", "Completed", "Approved", "InService", "OK"),
    "bad": ("Failed", "Rejected", "ALARM", "RollingBack", "CompletedWithFailures", "UpdateRollbackFailed"),
    "busy": ("Executing", "InProgress", "Starting", "Creating", "Updating", "Deleting", "SystemUpdating"),
    "held": ("Stopping", "Stopped", "PendingManualApproval", "Pending", "INSUFFICIENT_DATA"),
}


def kind(status: str) -> str:
    """The kind of a status: `good`, `bad`, `busy`, `held`, or `idle` for every other."""
    return next((name for name, statuses in _KINDS.items() if status in statuses), "idle")


def fixed(value: float | None, digits: int = 3) -> str:
    """A number with this many decimals, or a hyphen."""
    return MISSING if value is None else f"{value:.{digits}f}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share in percent, or a hyphen."""
    return MISSING if share is None else f"{share:.{digits}%}"


def dollars(usd: Decimal | None) -> str:
    """`$12.34`, or `< $0.01` for a smaller amount above zero."""
    if usd is None:
        return MISSING
    return f"${usd:,.2f}" if usd >= _CENT or not usd else f"< ${_CENT}"


def amount(usd: Range | None) -> str:
    """`$1.20`, or `$1.20 to $3.40`."""
    return MISSING if usd is None else span(dollars(usd.low), dollars(usd.high))


def span(low: str, high: str) -> str:
    """The two ends of a range, once where they are the same."""
    return low if low == high else f"{low} to {high}"


def shortly(value: str) -> str:
    """A hyperparameter with three digits if it is a number, and else without its quotation marks."""
    try:
        return f"{float(value):.3g}"
    except ValueError:
        return value.strip('"')
