"""Limits of the server: photos and bytes at a time, and no new requests after the signal to stop."""

from __future__ import annotations

import asyncio

from steps.serve.payload import RefusedError

# Size of all request bodies, each from its first byte to the answer; fewer full-size bodies than photos may wait.
MAX_BODY_BYTES = 256 * 1024 * 1024


class Admission:
    """Counts photos and bytes that are accepted and not yet answered. Used by the event loop only."""

    def __init__(self, max_photos: int, max_bytes: int = MAX_BODY_BYTES) -> None:
        self._max_photos, self._max_bytes = max_photos, max_bytes
        self._photos = self._bytes = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.draining = False

    def enter(self, size: int) -> Place:
        """A place for a request of at least one photo with a body of at most `size` bytes.

        Raises RefusedError 503 when the server stops or is full.
        """
        if self.draining:
            raise RefusedError(503, "the server stops; send the request again")
        if self._bytes + size > self._max_bytes:
            raise RefusedError(503, "too many bytes at a time; try again in a second")
        return Place(self, size)

    async def drain(self, timeout: float) -> None:
        """Refuse new requests, and wait at most `timeout` seconds until all accepted ones are answered."""
        self.draining = True
        try:
            await asyncio.wait_for(self._idle.wait(), timeout)
        except TimeoutError:
            return  # the server's end closes the remaining connections

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
    """The photos and bytes of one request; leaving the context frees them."""

    def __init__(self, admission: Admission, size: int) -> None:
        self._admission, self._photos, self._size = admission, 1, size
        admission._take(1, size)

    def widen(self, photos: int) -> None:
        """Set the request's number of photos. Raises RefusedError: 503 if too many at present, 413 if too many ever."""
        if photos > self._admission._max_photos:
            raise RefusedError(
                413, f"{photos} photos; this server accepts at most {self._admission._max_photos} at a time"
            )
        self._admission._take(photos - self._photos, 0)
        self._photos = photos

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        self._admission._free(self._photos, self._size)
