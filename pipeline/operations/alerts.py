"""The alerts that were sent, as the objects that the alert function creates before it publishes, and who gets them.

No operation of SNS returns messages that were published (https://docs.aws.amazon.com/sns/latest/api/API_Operations.html);
these objects stay (docs/decisions/0038-an-alert-is-an-object-first.md).
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from pipeline.aws.objects import fetch
from pipeline.aws.pages import items
from pipeline.clients import client
from pipeline.settings import Settings
from steps.contracts.errors import PipelineError
from steps.contracts.names import LOOK
from steps.contracts.s3_uri import S3Uri

# The folder in which steps/alert/handler.py creates its objects.
_FOLDER = "alerts"
_VERSION = re.compile(r"\bversion (\d{1,9})\b", re.IGNORECASE)


@dataclass(frozen=True)
class Stored:
    """An alert's object: its key, and the digest of its content, which changes once, when the alert is sent."""

    key: str
    digest: str
    changed: datetime


@dataclass(frozen=True)
class Alert:
    """An alert. `sent` is whether it was published to the topic; if not, its call was interrupted, or is under way."""

    time: datetime
    subject: str
    text: str
    sent: bool


@dataclass(frozen=True)
class Subscriber:
    """Who gets the topic's messages; before a confirmation nobody does."""

    protocol: str
    endpoint: str
    confirmed: bool


@dataclass(frozen=True)
class Look:
    """A message in parts: its text, the command that it ends with, and the number of the version that it is about.

    `words` are those of the command from its name on, such as `watch` and the id of a run.
    """

    text: str
    command: str
    words: tuple[str, ...]
    version: str


def folder(settings: Settings) -> S3Uri:
    """Prefix of the alerts' objects."""
    return S3Uri.parse(settings.root_uri).join(_FOLDER)


def stored(settings: Settings) -> list[Stored]:
    """All alerts, newest first."""
    place = folder(settings)
    pages = client(settings, "s3").get_paginator("list_objects_v2")
    listed = items(pages, "Contents", Bucket=place.bucket, Prefix=f"{place.key}/")
    alerts = [Stored(item["Key"], item["ETag"], item["LastModified"]) for item in listed]
    return sorted(alerts, key=lambda alert: alert.changed, reverse=True)


def read(settings: Settings, alert: Stored) -> Alert:
    """The content of an alert. Raises PipelineError where its object is gone, or of another program."""
    uri = f"s3://{settings.data.bucket}/{alert.key}"
    content = fetch(client(settings, "s3"), uri)
    if content is None:
        raise PipelineError(f"{uri}: the alert was deleted")
    try:
        record = json.loads(content)
        sent = record["sent"]
        time = datetime.fromisoformat(sent) if sent else alert.changed
        return Alert(time, record["subject"], record["text"], bool(sent))
    except (ValueError, KeyError, TypeError) as error:
        raise PipelineError(f"{uri}: no alert: {error}; delete the object") from error


def subscribers(settings: Settings) -> list[Subscriber]:
    """Who gets the messages of the alerts' topic."""
    pages = client(settings, "sns").get_paginator("list_subscriptions_by_topic")
    return list(_subscribers(items(pages, "Subscriptions", TopicArn=settings.alerts_topic_arn)))


def _subscribers(listed: Iterator[dict[str, str]]) -> Iterator[Subscriber]:
    for each in listed:
        # Before its confirmation a subscription has words in the place of its ARN:
        # https://docs.aws.amazon.com/sns/latest/api/API_Subscribe.html
        yield Subscriber(each["Protocol"], each["Endpoint"], each["SubscriptionArn"].startswith("arn:"))


def look_of(text: str) -> Look:
    """A message taken apart, of an alert or an alarm."""
    before, _, command = text.partition(f" {LOOK} ")
    version = _VERSION.search(before)
    return Look(before, command, _words(command), version[1] if version else "")


def _words(command: str) -> tuple[str, ...]:
    """The words of a command line from the command's name on; none of another program's."""
    try:
        words = shlex.split(command)
    except ValueError:
        return ()
    if "pipeline" not in words:
        return ()
    del words[: words.index("pipeline") + 1]
    while words and words[0].startswith("--"):
        del words[:2]
    return tuple(words)
