"""View of `local inbox`: each message with time, topic and subject, and the command that it names in a line."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from pipeline.operations.account.inbox import Message
from pipeline.texts import moment, printable
from steps.contracts.names import LOOK


def message_page(message: Message) -> Iterator[RenderableType]:
    """The lines of a message, indented below its first one."""
    yield Text.assemble(f"{moment(message.time)}   {message.topic_name}   ", (printable(message.subject), "bold"))
    for line in message.shown.splitlines():
        text, mark, command = printable(line).partition(f" {LOOK} ")
        yield Text(f"  {text}")
        if mark:
            yield Text(f"  {LOOK} {command}")
