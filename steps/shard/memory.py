"""Memory that is given back: planning holds large arrays for seconds, and writing must not add to them."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_M_MMAP_THRESHOLD = -3  # of malloc.h
_PLANNING, _MOVING = 1 << 20, 32 << 20


@contextmanager
def large_arrays_given_back() -> Iterator[None]:
    """Within, what is larger than a megabyte goes back to the system when it is freed.

    Left alone, glibc's allocator keeps large blocks once it has seen some come and go: 100 MB for 500,000 photos.
    Afterwards parts of shards are kept again, as getting them anew for each part would cost time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    if mallopt is None:
        yield
        return
    mallopt(_M_MMAP_THRESHOLD, _PLANNING)
    try:
        yield
    finally:
        mallopt(_M_MMAP_THRESHOLD, _MOVING)
