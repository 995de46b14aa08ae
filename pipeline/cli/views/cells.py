"""Statuses, times and reasons as every view shows them."""

from __future__ import annotations

from rich.text import Text

from pipeline.texts import shortened

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


def status_text(status: str) -> Text:
    """A status in its colour."""
    return Text(status, style=_STYLES.get(status, ""))


def reason(text: str) -> Text:
    """The reason of a failure."""
    return Text(shortened(text), style="red")
