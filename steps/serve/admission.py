"""How much the server takes on: photos, bytes, and nothing more once it is told to stop."""

from __future__ import annotations

import asyncio

from steps.serve.payload import RefusedError

# Of request bodies, from the first byte to the answer. Fewer requests of full size than photos that may wait.
MAX_HELD_BYTES = 256 * 1024 * 1024


class Admission:
    """Counts what is accepted and not yet answered. Used by the event loop alone."""

    def __init__(self, max_photos: int, max_bytes: int = MAX_HELD_BYTES) -> None:
        self._max_photos, self._max_bytes = max_photos, max_bytes
        self._photos = self._bytes = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.draining = False

    def enter(self, size: int) -> Place:
        """A place for a request of one photo or more with a body of at most `size` bytes.

        Raises RefusedError 503: later, or elsewhere, there is room.
        """
        if self.draining:
            raise RefusedError(503, "the server stops; ask another")
        if self._bytes + size > self._max_bytes:
            raise RefusedError(503, "too many bytes at a time; try again in a second")
        return Place(self, size)

    async def drain(self, timeout: float) -> None:
        """Take nothing more, and wait until everything accepted is answered, `timeout` seconds at most."""
        self.draining = True
        try:
            await asyncio.wait_for(self._idle.wait(), timeout)
        except TimeoutError:
            return  # what is left is cut off by the server's own end

    def _take(self, photos: int, size: int) -> None:
        if self._photos + photos > self._max_photos:
            raise RefusedError(503, "too many photos at a time; try again in a second")
        self._photos += photos
        self._bytes += size
        self._idle.clear()

    def _free(self, photos: int, size: int) -> None:
        self._photos -= photos
        self._bytes -= size
        if self._photos == 0:
            self._idle.set()


class Place:
    """What one request holds; as a context manager it is given back at the end."""

    def __init__(self, admission: Admission, size: int) -> None:
        self._admission, self._photos, self._size = admission, 1, size
        admission._take(1, size)

    def widen(self, photos: int) -> None:
        """The request has this many photos. Raises RefusedError 503 when they are too many now, 413 when always."""
        if photos > self._admission._max_photos:
            raise RefusedError(413, f"{photos} photos; this server takes {self._admission._max_photos} at a time")
        self._admission._take(photos - self._photos, 0)
        self._photos = photos

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        self._admission._free(self._photos, self._size)
