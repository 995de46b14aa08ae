"""What pages have read from AWS, kept for as long as each reading stays true: pages, tabs and live updates share it."""

from __future__ import annotations

import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")

# A reading that cannot change, such as the state of a run that has ended.
FOREVER = float("inf")
_LIMIT = 2_000
# A page that is shown asks for what it shows more often than this.
_UNUSED_SECONDS = 60.0
# Readings of a list would end together, in a burst of requests: from this many seconds on each lasts up to twice as
# long.
_SPREAD_FROM = 300.0


@dataclass
class _Entry:
    lock: threading.Lock = field(default_factory=threading.Lock)
    value: Any = None
    until: float = float("-inf")
    asked: float = float("-inf")


class Readings:
    """Values by key, each with its time to live in seconds. Threads that ask for the same key at once read it once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, limit: int = _LIMIT) -> None:
        self._clock, self._limit = clock, limit
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._lock = threading.Lock()
        self._forgotten = float("-inf")

    def get(self, key: Hashable, read: Callable[[], T], seconds: float | Callable[[T], float]) -> T:
        """The value under `key`, or a new one by `read`, which is kept for `seconds`; an exception is not kept.

        From five minutes on it may be kept twice as long.
        """
        with self._lock:
            if key not in self._entries:
                self._make_room()
                self._entries[key] = _Entry()
            entry = self._entries[key]
            entry.asked = self._clock()
            self._entries.move_to_end(key)
        with entry.lock:
            if self._clock() >= entry.until:
                entry.value = read()
                lasts = seconds(entry.value) if callable(seconds) else seconds
                entry.until = self._clock() + (lasts * _spread(key) if lasts >= _SPREAD_FROM else lasts)
            value: T = entry.value
            return value

    def _make_room(self) -> None:
        """Drop what is no longer true and nothing asks for, such as a page of a log; then the oldest, to the limit."""
        now = self._clock()
        for key, entry in list(self._entries.items()):
            if entry.asked >= now - _UNUSED_SECONDS:
                break
            if entry.until <= now and not entry.lock.locked():
                del self._entries[key]
        while len(self._entries) >= self._limit:
            self._entries.popitem(last=False)

    def forget(self) -> None:
        """Drop everything, after something was changed: the next page shows it."""
        with self._lock:
            self._entries.clear()
            self._forgotten = self._clock()

    def forgot_within(self, seconds: float) -> bool:
        """Whether something was changed in the last seconds, so that more may change by itself."""
        return self._clock() - self._forgotten < seconds


def _spread(key: Hashable) -> float:
    """A factor from 1 to 2, always the same for a key."""
    return 1 + zlib.crc32(repr(key).encode()) / 2**32
