"""Waiting with a time limit for a change in AWS or of a process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(look: Callable[[], T | None], seconds: float, interval: float) -> T | None:
    """The first value of `look` that is not None, or None after `seconds`.

    `look` is called at once, every `interval` seconds, and a last time at the end.
    """
    end = time.monotonic() + seconds
    while True:
        value = look()
        left = end - time.monotonic()
        if value is not None or left <= 0:
            return value
        time.sleep(min(interval, left))
