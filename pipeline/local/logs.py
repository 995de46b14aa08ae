"""CloudWatch Logs: groups and streams as files, which outlive the process and open in any editor.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/Welcome.html
"""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from pipeline.local.context import Request, ServiceError

# A file in a group's folder, next to its streams, which end in .log.
_RETENTION = "retention"
PAGE = 10_000  # GetLogEvents and FilterLogEvents return at most this many events
LISTED = 50  # groups and streams per page without `limit`, and at most
# A filter's term: a word, or a phrase in quotes; with a minus it must not be there, with question marks any is enough.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax-All.html
_TERM = re.compile(r'([-?]?)(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))(?:\s+|$)')
# Patterns of other kinds: by JSON, by columns, by regular expressions.
_OTHER_PATTERNS = ("{", "[", "%")


class Logs:
    """Log events in `FOLDER/GROUP/STREAM.log`, one per line: milliseconds since the epoch, a tab, the message."""

    def __init__(self, folder: Path, arn: Callable[[str, str], str]) -> None:
        self._folder = folder
        self._arn = arn
        self._lock = threading.Lock()

    def path(self, group: str, stream: str) -> Path:
        """The file of a stream."""
        return self._group(group) / f"{quote(stream, safe='')}.log"

    def write(self, group: str, stream: str, message: str) -> None:
        """Append one event."""
        path = self.path(group, stream)
        with self._lock:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with path.open("a", encoding="utf-8", errors="replace") as file:
                    file.write(f"{int(time.time() * 1000)}\t{message.rstrip()}\n")
            except OSError as error:
                # The error of a write does not name the file.
                raise OSError(error.errno, error.strerror, str(path)) from error

    def operations(self) -> dict[str, Callable[[Request], Request]]:
        """Handlers by operation."""
        return {
            "CreateLogGroup": self._create_group,
            "DeleteLogGroup": self._delete_group,
            "DescribeLogGroups": self._describe_groups,
            "DescribeLogStreams": self._describe_streams,
            "GetLogEvents": self._get_events,
            "FilterLogEvents": self._filter_events,
            "PutRetentionPolicy": self._put_retention,
        }

    def _create_group(self, request: Request) -> Request:
        folder = self._group(request["logGroupName"])
        if folder.is_dir():
            raise ServiceError("ResourceAlreadyExistsException", "The specified log group already exists")
        folder.mkdir(parents=True)
        return {}

    def _delete_group(self, request: Request) -> Request:
        shutil.rmtree(self._existing(request["logGroupName"]))
        return {}

    def _put_retention(self, request: Request) -> Request:
        """Store the retention, which is described only: no event is deleted by age."""
        (self._existing(request["logGroupName"]) / _RETENTION).write_text(str(request["retentionInDays"]))
        return {}

    def _retention(self, group: str) -> Request:
        path = self._group(group) / _RETENTION
        return {"retentionInDays": int(path.read_text())} if path.exists() else {}

    def _group(self, name: str) -> Path:
        folder = quote(name, safe="")
        # A group may have the name `..`, which stays itself when it is quoted.
        return self._folder / (folder if folder.strip(".") else folder.replace(".", "%2E"))

    def _existing(self, name: str) -> Path:
        folder = self._group(name)
        if not folder.is_dir():
            raise ServiceError("ResourceNotFoundException", "The specified log group does not exist.")
        return folder

    def _describe_groups(self, request: Request) -> Request:
        prefix = request.get("logGroupNamePrefix", "")
        pattern = request.get("logGroupNamePattern", "")
        chosen = [self._name_of(identifier) for identifier in request.get("logGroupIdentifiers", [])]
        if sum(map(bool, (prefix, pattern, chosen))) > 1:
            raise _invalid(
                "LogGroup name prefix, LogGroup name pattern and logGroupIdentifiers are mutually exclusive parameters."
            )
        names = sorted(unquote(path.name) for path in self._folder.glob("*") if path.is_dir())
        names = [
            name for name in names if name.startswith(prefix) and pattern in name and (not chosen or name in chosen)
        ]
        listed, more = _page(request, names, LISTED)
        groups = [
            {
                "logGroupName": name,
                "arn": self._arn("logs", f"log-group:{name}:*"),
                "logGroupArn": self._arn("logs", f"log-group:{name}"),
                "logGroupClass": "STANDARD",
                "storedBytes": self._bytes(name),
                **self._retention(name),
            }
            for name in listed
        ]
        return {"logGroups": groups, **more}

    def _name_of(self, identifier: str) -> str:
        """The name of a group, which may be named by its ARN. Raises ServiceError for one of another account."""
        own = self._arn("logs", "log-group:")
        if not identifier.startswith("arn:"):
            return identifier
        if not identifier.startswith(own):
            raise ServiceError("ResourceNotFoundException", f"The log group {identifier} is not in this account.")
        return identifier.removeprefix(own)

    def _bytes(self, group: str) -> int:
        return sum(path.stat().st_size for path in self._group(group).glob("*.log"))

    def _streams(self, request: Request) -> list[tuple[str, Path]]:
        name, identifier = request.get("logGroupName"), request.get("logGroupIdentifier")
        if bool(name) == bool(identifier):
            # "You must include either logGroupIdentifier or logGroupName, but not both": API_GetLogEvents.html
            raise _invalid("Exactly one of logGroupName and logGroupIdentifier must be specified.")
        folder = self._existing(name or self._name_of(str(identifier)))
        return sorted((unquote(path.stem), path) for path in folder.glob("*.log"))

    def _describe_streams(self, request: Request) -> Request:
        prefix, by_time = request.get("logStreamNamePrefix", ""), request.get("orderBy") == "LastEventTime"
        if prefix and by_time:
            # "If you order the results by event time, you cannot specify the logStreamNamePrefix parameter":
            # https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_DescribeLogStreams.html
            raise _invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
        group = request.get("logGroupName") or self._name_of(request.get("logGroupIdentifier", ""))
        streams: list[Request] = []
        for name, path in self._streams(request):
            if name.startswith(prefix) and (events := _read(path)):
                streams.append(
                    {
                        "logStreamName": name,
                        "arn": self._arn("logs", f"log-group:{group}:log-stream:{name}"),
                        "creationTime": events[0][0],
                        "firstEventTimestamp": events[0][0],
                        "lastEventTimestamp": events[-1][0],
                        "lastIngestionTime": events[-1][0],
                        "storedBytes": path.stat().st_size,
                    }
                )
        if by_time:
            streams.sort(key=lambda stream: stream["lastEventTimestamp"])
        if request.get("descending"):
            streams.reverse()
        listed, more = _page(request, streams, LISTED)
        return {"logStreams": listed, **more}

    def _get_events(self, request: Request) -> Request:
        """A page of events. A token has its direction and a place between events; the same token again is the end."""
        path = dict(self._streams(request)).get(request["logStreamName"])
        if path is None:
            raise ServiceError("ResourceNotFoundException", "The specified log stream does not exist.")
        events = [event for event in _read(path) if _within(event, request)]
        limit = min(request.get("limit", PAGE), PAGE)
        direction, place = _place(request.get("nextToken"), len(events))
        if direction == "b":
            start, end = max(0, place - limit), place
        elif direction == "f":
            start, end = place, place + limit
        else:
            start = 0 if request.get("startFromHead") else max(0, len(events) - limit)
            end = start + limit
        page = events[start:end]
        return {
            "events": [{"timestamp": at, "message": text, "ingestionTime": at} for at, text in page],
            "nextForwardToken": f"f/{start + len(page)}",
            "nextBackwardToken": f"b/{start}",
        }

    def _filter_events(self, request: Request) -> Request:
        """The events that fit the pattern."""
        names = request.get("logStreamNames")
        prefix = request.get("logStreamNamePrefix", "")
        if names and prefix:
            raise _invalid("logStreamNamePrefix and logStreamNames are mutually exclusive parameters.")
        pattern = Pattern.parse(request.get("filterPattern", ""))
        events: list[Request] = [
            {
                "logStreamName": name,
                "timestamp": at,
                "message": text,
                "ingestionTime": at,
                "eventId": f"{name}/{number}",
            }
            for name, path in self._streams(request)
            if name.startswith(prefix) and (names is None or name in names)
            for number, (at, text) in enumerate(_read(path))
            if _within((at, text), request) and pattern.fits(text)
        ]
        events.sort(key=lambda event: event["timestamp"])
        if not request.get("startFromHead", True):
            events.reverse()
        listed, more = _page(request, events, PAGE)
        return {"events": listed, "searchedLogStreams": [], **more}


@dataclass(frozen=True)
class Pattern:
    """The terms of a filter: all of `wanted`, none of `unwanted`, and one of `any_of` if there are some."""

    wanted: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read a filter pattern. Raises ServiceError for one that is no list of terms.

        AWS ignores question marks next to other terms (the same page); here such a pattern is refused.
        """
        text, position = text.strip(), 0
        by_mark: dict[str, list[str]] = {"": [], "-": [], "?": []}
        if text.startswith(_OTHER_PATTERNS):
            raise _invalid("The local cloud filters by words and quoted phrases only, not by JSON, columns or regex.")
        while position < len(text):
            term = _TERM.match(text, position)
            if term is None:
                raise _invalid(f"Invalid filter pattern: {text!r}: a quotation mark is missing, or a space after one.")
            mark, phrase, word = term.groups()
            by_mark[mark].append(re.sub(r"\\(.)", r"\1", phrase) if word is None else word)
            position = term.end()
        if by_mark["?"] and (by_mark[""] or by_mark["-"]):
            raise _invalid("The local cloud has no filter pattern with both ?terms and other terms.")
        return cls(tuple(by_mark[""]), tuple(by_mark["-"]), tuple(by_mark["?"]))

    def fits(self, text: str) -> bool:
        """Whether a message fits."""
        return (
            all(term in text for term in self.wanted)
            and not any(term in text for term in self.unwanted)
            and (not self.any_of or any(term in text for term in self.any_of))
        )


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameterException", message)


def _place(token: str | None, events: int) -> tuple[str, int]:
    """The direction and place of a token of GetLogEvents; no direction without one. Raises ServiceError."""
    if token is None:
        return "", 0
    match = re.fullmatch(r"([fb])/([0-9]{1,12})", token)
    if match is None or int(match[2]) > events:
        raise _invalid("The specified nextToken is invalid.")
    return match[1], int(match[2])


def _page(request: Request, items: Sequence[Request | str], most: int) -> tuple[list[Any], Request]:
    """The items of a page, and the token of the next one if there is one. Raises ServiceError."""
    token = request.get("nextToken", "0")
    if not re.fullmatch(r"[0-9]{1,12}", token):
        raise _invalid("The specified nextToken is invalid.")
    end = int(token) + min(request.get("limit", most), most)
    return list(items[int(token) : end]), {"nextToken": str(end)} if end < len(items) else {}


def _within(event: tuple[int, str], request: Request) -> bool:
    return bool(request.get("startTime", 0) <= event[0] < request.get("endTime", float("inf")))


def _read(path: Path) -> list[tuple[int, str]]:
    events = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        at, tab, message = line.partition("\t")
        if tab and at.isdigit():
            events.append((int(at), message))
    return events
