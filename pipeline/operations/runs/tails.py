"""The end of a log without its beginning: the newest lines, older ones page by page, and new ones as they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.aws import errors as aws_errors
from pipeline.aws.responses import ignore_missing
from pipeline.clients import client
from pipeline.operations.runs.logs import Line, LogSource, line_of
from pipeline.operations.runs.progress import StepRun
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError

# Lines that are kept and shown at a time.
LINES = 500
# A page of CloudWatch may be empty although others follow; a longer search is continued by the next request.
PAGES = 10
# "Setting startFromHead to false is supported only when startTime is on or after Jan 1, 2024 00:00:00 UTC":
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
_FIRST = datetime(2024, 1, 1, tzinfo=UTC)
# A job's clock and its service's may differ, and a function's last line comes after its answer.
_MARGIN = timedelta(minutes=2)


@dataclass(frozen=True)
class Excerpt:
    """Which lines of a source: those of the times between, with the text `search` in them if there is one.

    `host` is the number of an instance, from 1; 0 means all.
    """

    source: LogSource
    since: datetime = _FIRST
    until: datetime | None = None
    search: str = ""
    host: int = 0

    def request(self) -> dict[str, Any]:
        """FilterLogEvents' request."""
        prefix = f"{self.source.prefix}algo-{self.host}-" if self.host else self.source.prefix
        request: dict[str, Any] = {"logGroupName": self.source.group, "startTime": _milliseconds(self.since)}
        if prefix:
            request["logStreamNamePrefix"] = prefix
        if self.until:
            request["endTime"] = _milliseconds(self.until)
        if self.search:
            request["filterPattern"] = phrase(self.search)
        return request


@dataclass(frozen=True)
class LogPage:
    """Lines, oldest first; whether there are older ones, and the token of their page.

    The end of a log that grows has no token: its older lines are those until its first line.
    """

    lines: tuple[Line, ...]
    has_older: bool = False
    older: str = ""


def excerpt(source: LogSource, step: StepRun, search: str = "", host: int = 0) -> Excerpt:
    """What a step wrote to its source. The group of a function has the lines of all calls: its time selects them."""
    since = max(_FIRST, step.started - _MARGIN) if step.started else _FIRST
    until = step.ended + _MARGIN if step.ended and step.arn("Lambda") else None
    return Excerpt(source, since, until, search, host)


def phrase(text: str) -> str:
    """A filter pattern for lines that contain this text, with no character read as the pattern's own.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html has phrases in quotation marks;
    that a backslash stands before a quotation mark inside is assumed.
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def page(settings: Settings, wanted: Excerpt, token: str = "", lines: int = LINES) -> LogPage:
    """The newest lines, or those that a page's `older` leads to; none where the log does not exist yet.

    Raises PipelineError where the token is of no page.
    """
    events, older = _newest(client(settings, "logs"), wanted, token, lines)
    return LogPage(tuple(map(line_of, reversed(events))), bool(older), older)


class Tail:
    """The end of a log that grows: each `read` asks for the lines since the last one, and has the newest of all."""

    def __init__(self, settings: Settings, wanted: Excerpt, lines: int = LINES) -> None:
        self._logs = client(settings, "logs")
        self._wanted = wanted
        self._events: deque[dict[str, Any]] = deque(maxlen=lines)
        self._seen: set[str] = set()
        self._has_older = False

    def read(self) -> LogPage:
        """The newest lines; none where the log does not exist yet."""
        if not self._events:
            events, older = _newest(self._logs, self._wanted, "", self._events.maxlen or LINES)
            fresh, self._has_older = list(reversed(events)), bool(older)
        else:
            newest = datetime.fromtimestamp(self._events[-1]["timestamp"] / 1000, UTC)
            fresh = self._since(newest)
        for event in fresh:
            if event["eventId"] not in self._seen:
                self._has_older |= len(self._events) == self._events.maxlen
                self._events.append(event)
        # Events of the newest moment are read again the next time, and those before it never.
        self._seen = {event["eventId"] for event in self._events}
        return LogPage(tuple(map(line_of, self._events)), self._has_older)

    def _since(self, moment: datetime) -> list[dict[str, Any]]:
        request = replace(self._wanted, since=moment).request()
        events: list[dict[str, Any]] = []
        for _ in range(PAGES):
            answer = self._logs.filter_log_events(**request)
            events += answer.get("events", [])
            if not (token := answer.get("nextToken")):
                break
            request["nextToken"] = token
        return events


def _newest(logs: Any, wanted: Excerpt, token: str, lines: int) -> tuple[list[dict[str, Any]], str]:
    """Events, newest first, and the token of older ones."""
    from botocore.exceptions import ClientError

    request: dict[str, Any] = {**wanted.request(), "startFromHead": False}
    events: list[dict[str, Any]] = []
    following = token
    try:
        with ignore_missing():
            for _ in range(PAGES):
                answer = logs.filter_log_events(**request, limit=lines - len(events), **_next(following))
                events += answer.get("events", [])
                following = answer.get("nextToken", "")
                if not following or len(events) >= lines:
                    break
    except ClientError as error:
        if token and aws_errors.code_of(error) == "InvalidParameterException":
            raise PipelineError("this page of the log does not exist any more; begin with its newest lines") from error
        raise
    return events, following


def _next(token: str) -> Mapping[str, str]:
    return {"nextToken": token} if token else {}


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
