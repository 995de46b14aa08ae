"""Photos from S3, ready to be written: fetched many at a time, resized by threads, returned in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from steps.contracts.errors import StepError
from steps.contracts.photo_files import MAX_BYTES
from steps.contracts.s3_uri import S3Uri
from steps.photos.jpeg import ImageError, check_jpeg, shrink_jpeg
from steps.runtime.s3 import open_store, s3_errors, send_async
from steps.shard.bucket import Photo

if TYPE_CHECKING:
    from obstore.store import S3Store

# Requests in flight: 64 hide 15 ms of latency at 1,500 photos/s. Large photos are limited by their bytes instead.
IN_FLIGHT = 64
BYTES_IN_FLIGHT = 96 * 1024 * 1024


@dataclass(frozen=True)
class PhotoSource:
    """The location of photos, and how they are prepared."""

    location: S3Uri
    shorter_side: int
    quality: int
    store: S3Store
    threads: ThreadPoolExecutor

    async def prepare(self, photo: Photo) -> bytes | ImageError:
        """The JPEG to write for `photo`, or the reason why it is left out.

        Raises StepError when S3 fails for another reason than that the object is missing.
        """
        try:
            data = await self._fetch(photo)
            if not self.shorter_side:
                # The bytes are kept without decoding, which would cost more than moving them. Readers decode them.
                check_jpeg(data)
                return data
            # The decoder, the resizer and the encoder all release the interpreter's lock.
            work = (data, self.shorter_side, self.quality)
            return await asyncio.get_running_loop().run_in_executor(self.threads, shrink_jpeg, *work)
        except ImageError as error:
            return error

    async def _fetch(self, photo: Photo) -> bytes:
        # obstore repeats failed requests (503, resets) with backoff, and compares a body with its Content-Length: a
        # shorter one is continued with a range request.
        import obstore
        from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

        uri = self.location.join(photo.key)
        if photo.size > MAX_BYTES:
            raise ImageError("too-large", f"{uri} has {photo.size:,} bytes; at most {MAX_BYTES:,} are read")
        with s3_errors(uri, "reading"):
            try:
                result = await send_async(lambda: obstore.get_async(self.store, uri.key))
                if (result.meta["e_tag"] or "").strip('"') != photo.etag:
                    raise ImageError("replaced", f"{uri} was replaced since it was labelled; run the query step again")
                return bytes(await result.bytes_async())
            except FileNotFoundError as error:
                raise ImageError("missing-image", f"{uri} does not exist") from error
            except (PermissionDeniedError, UnauthenticatedError) as error:
                raise StepError(
                    f"{uri}: access denied; the job's role needs s3:GetObject for it, and s3:ListBucket on the bucket"
                    " (without it S3 denies access to photos that do not exist, too)"
                ) from error


@asynccontextmanager
async def open_source(location: S3Uri, shorter_side: int, quality: int, threads: int) -> AsyncIterator[PhotoSource]:
    """A source of the photos below `location`, which resizes on `threads`."""
    import cv2

    cv2.setNumThreads(1)  # photos are resized in parallel already
    with ThreadPoolExecutor(threads, thread_name_prefix="resize") as executor:
        yield PhotoSource(location, shorter_side, quality, open_store(location.bucket), executor)


async def in_order(
    source: PhotoSource, photos: AsyncIterable[Photo]
) -> AsyncGenerator[tuple[Photo, bytes | ImageError], None]:
    """Every photo with its result, in the order of `photos`, while the following photos are being prepared.

    These are at most `IN_FLIGHT` photos and, except for a single larger one, at most `BYTES_IN_FLIGHT`.
    """
    window: deque[tuple[Photo, asyncio.Task[bytes | ImageError]]] = deque()
    in_flight = 0
    try:
        async for photo in photos:
            while window and (len(window) >= IN_FLIGHT or in_flight + photo.size > BYTES_IN_FLIGHT):
                first, task = window.popleft()
                result = await task
                in_flight -= first.size
                yield first, result
            window.append((photo, asyncio.create_task(source.prepare(photo))))
            in_flight += photo.size
        while window:
            first, task = window.popleft()
            yield first, await task
    finally:
        for _, task in window:
            task.cancel()
        await asyncio.gather(*(task for _, task in window), return_exceptions=True)
