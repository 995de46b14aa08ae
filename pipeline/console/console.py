"""What every page needs: settings, readings, and the words of errors and commands."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.console.readings import Readings
from pipeline.settings import Settings


@dataclass(frozen=True)
class Console:
    """A console of one pipeline.

    `explain` turns an exception into lines with a remedy, `command` is the command line before a command's name, and
    `pasted` puts it into a text that names commands. `key` opens the console.
    """

    settings: Settings
    command: str
    explain: Callable[[Exception], str | None]
    pasted: Callable[[str], str]
    key: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    readings: Readings = field(default_factory=Readings)

    @property
    def token(self) -> str:
        """The token of the forms. It follows from the key: a console that is started again knows its open pages."""
        return hmac.new(self.key.encode(), b"forms", hashlib.sha256).hexdigest()

    @property
    def is_local(self) -> bool:
        """Whether the account is the local cloud's."""
        return self.settings.account.target == "local"


@dataclass(frozen=True)
class View:
    """A page: its template, its values, and the seconds between two looks while a browser shows it (0: never)."""

    template: str
    values: Mapping[str, Any]
    refresh: float = 0.0
    status: int = 200


class NotFoundError(Exception):
    """There is no such page, or what it shows does not exist; the message says what to do."""
