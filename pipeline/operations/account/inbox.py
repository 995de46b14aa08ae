"""The messages of a local account's topics: what a person with `alerts.email` gets as mail from an account of AWS."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline.local import inbox
from steps.contracts.errors import PipelineError


@dataclass(frozen=True)
class Message:
    """A message that was published to a topic."""

    id: str
    time: datetime
    """In UTC."""
    topic: str
    """ARN of the topic."""
    subject: str
    """Empty without a subject."""
    text: str
    publisher: str
    """ARN of the session, or name of the service, that published it."""

    @property
    def topic_name(self) -> str:
        """Name of the topic."""
        return self.topic.rsplit(":", 1)[-1]

    @property
    def shown(self) -> str:
        """The text for people: of an alarm, whose message is JSON, the reason of its state and its description."""
        try:
            alarm = json.loads(self.text)
            return f"{alarm['NewStateReason']}. {alarm['AlarmDescription'] or alarm['AlarmName']}"
        except (ValueError, KeyError, TypeError):
            return self.text


def messages(directory: Path) -> list[Message]:
    """All messages of the local cloud in a folder, oldest first; it need not run.

    Raises PipelineError for a file that is no inbox.
    """
    try:
        entries = inbox.read(directory)
    except inbox.InboxError as error:
        raise PipelineError(str(error)) from error
    return [
        Message(
            entry.id, datetime.fromtimestamp(entry.time, UTC), entry.topic, entry.subject, entry.text, entry.publisher
        )
        for entry in entries
    ]


def follow(directory: Path, interval: float = 1.0) -> Iterator[Message]:
    """All messages, then each new one, without end; `interval` in seconds. Raises PipelineError as `messages` does."""
    seen: set[str] = set()
    while True:
        for message in messages(directory):
            if message.id not in seen:
                seen.add(message.id)
                yield message
        time.sleep(interval)
