"""Statuses, times and reasons as every view shows them."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.text import Text

_STYLES = {
    "Succeeded": "green",
    "Completed": "green",
    "Approved": "green",
    "InService": "green",
    "Failed": "bold red",
    "Rejected": "red",
    "Executing": "cyan",
    "InProgress": "cyan",
    "Starting": "cyan",
    "Creating": "cyan",
    "Updating": "cyan",
    "Stopping": "yellow",
    "Stopped": "yellow",
    "PendingManualApproval": "yellow",
    "Pending": "yellow",
    "Waiting": "dim",
}
_REASON_SHOWN = 400


def status_text(status: str) -> Text:
    """A status in its colour."""
    return Text(status, style=_STYLES.get(status, ""))


def duration(started: datetime | None, ended: datetime | None) -> str:
    """`1 h 02 min`, `3 min 05 s` or `4.2 s` between two times; until now where `ended` is None."""
    if started is None:
        return ""
    return time_text(max(((ended or datetime.now(UTC)) - started).total_seconds(), 0.0))


def time_text(seconds: float) -> str:
    """`1 h 02 min`, `3 min 05 s` or `4.2 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def moment(time: datetime) -> str:
    """A time in the time zone of this machine, to the second."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def minute(time: datetime) -> str:
    """A time in the time zone of this machine, to the minute."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M")


def shortened(text: str) -> str:
    """A reason as one line of at most 400 characters."""
    line = " ".join(text.split())
    return line if len(line) <= _REASON_SHOWN else f"{line[: _REASON_SHOWN - 3]}..."


def reason(text: str) -> Text:
    """The reason of a failure."""
    return Text(shortened(text), style="red")
