"""CloudWatch Logs: groups and streams as files, which outlive the process and open in any editor.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/Welcome.html
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, unquote

from pipeline.local.context import Request, ServiceError

# A file in a group's folder, next to its streams, which end in .log.
_RETENTION = "retention"
PAGE = 10_000  # GetLogEvents and FilterLogEvents return at most this many events


class Logs:
    """Log events in `FOLDER/GROUP/STREAM.log`, one per line: milliseconds since the epoch, a tab, the message."""

    def __init__(self, folder: Path, arn: Callable[[str, str], str]) -> None:
        self._folder = folder
        self._arn = arn
        self._lock = threading.Lock()

    def path(self, group: str, stream: str) -> Path:
        """The file of a stream."""
        return self._folder / quote(group, safe="") / f"{quote(stream, safe='')}.log"

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
        return self._folder / quote(name, safe="")

    def _existing(self, name: str) -> Path:
        folder = self._group(name)
        if not folder.is_dir():
            raise ServiceError("ResourceNotFoundException", "The specified log group does not exist.")
        return folder

    def _describe_groups(self, request: Request) -> Request:
        prefix = request.get("logGroupNamePrefix", "")
        names = sorted(unquote(path.name) for path in self._folder.glob("*") if path.is_dir())
        groups = [
            {
                "logGroupName": name,
                "arn": self._arn("logs", f"log-group:{name}:*"),
                "storedBytes": self._bytes(name),
                **self._retention(name),
            }
            for name in names
            if name.startswith(prefix)
        ]
        return {"logGroups": groups[: request.get("limit", 50)]}

    def _bytes(self, group: str) -> int:
        return sum(path.stat().st_size for path in self._group(group).glob("*.log"))

    def _streams(self, request: Request) -> list[tuple[str, Path]]:
        folder = self._existing(request.get("logGroupName") or request.get("logGroupIdentifier", ""))
        return sorted((unquote(path.stem), path) for path in folder.glob("*.log"))

    def _describe_streams(self, request: Request) -> Request:
        prefix = request.get("logStreamNamePrefix", "")
        streams: list[Request] = []
        for name, path in self._streams(request):
            if name.startswith(prefix):
                events = _read(path)
                streams.append(
                    {
                        "logStreamName": name,
                        "firstEventTimestamp": events[0][0],
                        "lastEventTimestamp": events[-1][0],
                        "storedBytes": path.stat().st_size,
                    }
                )
        if request.get("orderBy") == "LastEventTime":
            streams.sort(key=lambda stream: stream["lastEventTimestamp"])
        if request.get("descending"):
            streams.reverse()
        return {"logStreams": streams[: request.get("limit", 50)]}

    def _get_events(self, request: Request) -> Request:
        """A page of events, forwards only. A token is the number of the next event; the same token again is the end."""
        path = dict(self._streams(request)).get(request["logStreamName"])
        if path is None:
            raise ServiceError("ResourceNotFoundException", "The specified log stream does not exist.")
        events = [event for event in _read(path) if _within(event, request)]
        limit = min(request.get("limit", PAGE), PAGE)
        token = request.get("nextToken", "")
        if token.startswith("f/"):
            start = int(token[2:])
        else:
            start = 0 if request.get("startFromHead") else max(0, len(events) - limit)
        page = events[start : start + limit]
        return {
            "events": [{"timestamp": at, "message": text, "ingestionTime": at} for at, text in page],
            "nextForwardToken": f"f/{start + len(page)}",
            "nextBackwardToken": f"b/{start}",
        }

    def _filter_events(self, request: Request) -> Request:
        """The events with all terms of the pattern. A term is a word, or several in quotes."""
        names = request.get("logStreamNames")
        prefix = request.get("logStreamNamePrefix", "")
        terms = _terms(request.get("filterPattern", ""))
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
            if _within((at, text), request) and all(term in text for term in terms)
        ]
        events.sort(key=lambda event: event["timestamp"])
        start = int(request.get("nextToken") or 0)
        limit = min(request.get("limit", PAGE), PAGE)
        response: Request = {"events": events[start : start + limit], "searchedLogStreams": []}
        if start + limit < len(events):
            response["nextToken"] = str(start + limit)
        return response


def _terms(pattern: str) -> list[str]:
    if any(character in pattern for character in "{}[]?%"):
        raise ServiceError("InvalidParameterException", "The local cloud filters by words and quoted phrases only.")
    import shlex

    try:
        return shlex.split(pattern)
    except ValueError as error:
        raise ServiceError("InvalidParameterException", f"Invalid filter pattern: {error}") from error


def _within(event: tuple[int, str], request: Request) -> bool:
    return bool(request.get("startTime", 0) <= event[0] < request.get("endTime", float("inf")))


def _read(path: Path) -> list[tuple[int, str]]:
    events = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        at, tab, message = line.partition("\t")
        if tab and at.isdigit():
            events.append((int(at), message))
    return events
