"""The messages of the account's SNS topics, as lines of JSON in the local cloud's folder: nobody sends them as mail.

The file is read without the cloud, and a restart leaves it as it is, but for the oldest lines of a long one.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "inbox.jsonl"
# A start of the cloud retains this many of the newest messages.
KEPT = 2000


class InboxError(Exception):
    """A file that has other content than messages; the message names the line and the remedy."""


@dataclass(frozen=True)
class Message:
    """A message as it was published to a topic."""

    id: str
    time: float
    """Seconds since 1970."""
    topic: str
    """ARN of the topic."""
    subject: str
    """Empty without a subject."""
    text: str
    publisher: str
    """ARN of the session or name of the service that published it."""


class Inbox:
    """The file, which one process writes; its threads share it."""

    def __init__(self, directory: Path) -> None:
        """`directory` is the local cloud's. Drops a line that a process left unfinished, and the oldest of many."""
        self._path = directory / FILE
        self._lock = threading.Lock()
        if self._path.exists():
            text = self._path.read_text()
            lines = _whole_lines(text)[-KEPT:]
            if (kept := "".join(f"{line}\n" for line in lines)) != text:
                self._path.write_text(kept)

    def add(self, message: Message) -> None:
        """Append a message. Raises OSError where the disk is full."""
        with self._lock, self._path.open("a") as file:
            file.write(json.dumps(asdict(message)) + "\n")


def read(directory: Path) -> list[Message]:
    """All messages of a local cloud, oldest first; none before the first. Raises InboxError."""
    path = directory / FILE
    return list(_messages(path)) if path.exists() else []


def _messages(path: Path) -> Iterator[Message]:
    for number, line in enumerate(_whole_lines(path.read_text()), 1):
        try:
            yield Message(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise InboxError(f"{path}:{number}: no message: {error}; delete the file") from None


def _whole_lines(text: str) -> list[str]:
    """The lines but for the last, if a process has ended while it wrote it."""
    lines = text.split("\n")
    return lines[:-1]
