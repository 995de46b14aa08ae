"""The alerts, newest first, and who gets them. On the local cloud also what else its topics got, such as alarms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pipeline.connection import local_directory
from pipeline.console.console import Console, View
from pipeline.console.pages import reads
from pipeline.console.pages.decision import ENDPOINT
from pipeline.console.pages.model_reads import MINUTE, lasting
from pipeline.console.parts import Part, part, parts
from pipeline.console.readings import FOREVER
from pipeline.console.routes import Routes, Values
from pipeline.console.view import SECTIONS
from pipeline.operations import alerts
from pipeline.operations.account import inbox
from pipeline.operations.account.inbox import Message
from pipeline.operations.alerts import Alert, Look, Stored, Subscriber
from pipeline.parallel import parallel_map

SHOWN = 20
# The alerts of the first page are those of this time; it has other parts that are asked for more often.
NEW, NEW_SECONDS = timedelta(days=1), 180.0
SUBSCRIBERS_SECONDS = 600.0


@dataclass(frozen=True)
class Entry:
    """A message: `place` is the path of the page that shows what its command does, empty without one.

    `topic` is the name of the topic of a message that is no alert of this pipeline.
    """

    time: datetime
    subject: str
    look: Look
    place: str
    sent: bool = True
    topic: str = ""


def messages(console: Console, values: Values) -> View:  # noqa: ARG001  # a page
    """The newest alerts and messages, and the topic with its subscribers."""
    read = parts(
        console,
        {
            "alerts": lambda: _alerts(console),
            "messages": lambda: inbox.messages(local_directory()) if console.is_local else [],
            "subscribers": lambda: _subscribers(console),
        },
    )
    sent: Sequence[Part] = read["alerts"].value or ()
    readable = [each.value for each in sent if each.value]
    entries = [*map(_of_alert, readable), *_others(read["messages"].value or (), readable)]
    return View(
        "inbox.html",
        {
            "problems": {name: each.problem for name, each in read.items()},
            "unread": [each.problem for each in sent if each.problem],
            "entries": sorted(entries, key=lambda entry: entry.time, reverse=True)[:SHOWN],
            "subscribers": read["subscribers"].value,
            "shown": SHOWN,
            "folder": alerts.folder(console.settings),
        },
        reads.IDLE,
    )


def stored(console: Console) -> list[Stored]:
    """All alerts, newest first, without their content."""
    return console.readings.get("alerts", lambda: alerts.stored(console.settings), MINUTE)


def new(console: Console) -> int:
    """The number of alerts of the last day, as of the last minutes."""
    newest = console.readings.get("new alerts", lambda: stored(console), NEW_SECONDS)
    since = datetime.now(UTC) - NEW
    return sum(alert.changed >= since for alert in newest)


def _alerts(console: Console) -> list[Part]:
    def read(alert: Stored) -> Part:
        return console.readings.get(
            ("alert", alert.key, alert.digest),
            lambda: part(console, lambda: alerts.read(console.settings, alert)),
            lambda result: lasting(result, FOREVER),
        )

    return parallel_map(read, stored(console)[:SHOWN])


def _subscribers(console: Console) -> list[Subscriber]:
    return console.readings.get("subscribers", lambda: alerts.subscribers(console.settings), SUBSCRIBERS_SECONDS)


def _of_alert(alert: Alert) -> Entry:
    look = alerts.look_of(alert.text)
    return Entry(alert.time, alert.subject, look, _place(look.words), alert.sent)


def _others(published: Sequence[Message], sent: Sequence[Alert]) -> Iterator[Entry]:
    """The messages that are no alerts."""
    texts = {alert.text for alert in sent}
    for message in published[-SHOWN:]:
        if message.text not in texts:
            look = alerts.look_of(message.shown)
            yield Entry(message.time, message.subject, look, _place(look.words), topic=message.topic_name)


def _place(words: Sequence[str]) -> str:
    """The page that shows what a command prints."""
    match words:
        case ["watch", run]:
            return f"/runs/{run}"
        case ["report", run]:
            return f"/runs/{run}/report"
        case ["monitor", "--job", job]:
            return f"/monitor/{job}"
        case ["monitor", "--last"]:
            return "/monitor"
        case ["endpoint"] if ENDPOINT in dict(SECTIONS):
            return ENDPOINT
    return ""


ROUTES = Routes({"/inbox": messages})
