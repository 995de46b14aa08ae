"""Shards to S3: tars that are streamed while they grow, never on disk and never whole in memory."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from steps.contracts.dataset import SPLITS
from steps.contracts.s3_uri import S3Uri
from steps.photos.jpeg import ImageError
from steps.runtime.s3 import s3_errors
from steps.shard import tar
from steps.shard.bucket import Photo
from steps.shard.ledger import Record, photos_table
from steps.shard.opening import OpenBucket, indexed
from steps.shard.photos import PhotoSource, in_order
from steps.shard.work import IndexedShard, Work

if TYPE_CHECKING:
    from obstore.store import S3Store

log = logging.getLogger(__name__)

# Size of a part of a multipart upload, and parts in flight: at most 32 MB wait to be sent. S3's limit of 10,000 parts
# is reached at 80 GB.
PART_BYTES = 8 * 1024 * 1024
PARTS_IN_FLIGHT = 4

Outcome = tuple[Photo, bytes | ImageError]
# Called with a reason and the ids of photos that are left out; raises StepError when they are too many.
Count = Callable[[str, Sequence[str]], None]


class Openings:
    """Buckets in the order of writing, each opened while the bucket before it is written.

    So requests for photos do not stop between two buckets, and no more than a few buckets are in memory. A single
    thread opens them: each thread has a part of the heap of its own, which grows to what a bucket takes.
    """

    def __init__(self, openings: Sequence[Callable[[], OpenBucket]]) -> None:
        self._openings = openings
        self._tasks: dict[int, asyncio.Future[OpenBucket]] = {}
        self._written = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bucket")

    def __len__(self) -> int:
        return len(self._openings)

    async def bucket(self, place: int) -> OpenBucket:
        """The bucket at a place. Raises what opening it raises."""
        for number in (place, place + 1):
            if number < len(self) and number not in self._tasks:
                loop = asyncio.get_running_loop()
                self._tasks[number] = loop.run_in_executor(self._thread, self._openings[number])
        return await self._tasks[place]

    def forget(self, place: int) -> None:
        """Drop a bucket that is written, and with it those before it."""
        self._written = place + 1
        del self._tasks[place]

    async def photos(self) -> AsyncIterator[Photo]:
        """The photos of all buckets that are to be written."""
        for place in range(len(self)):
            # A bucket without photos to write may be forgotten before anybody asks for a photo.
            if place < self._written:
                continue
            bucket = await self.bucket(place)
            for split in SPLITS:
                for photo in bucket.remaining[split]:
                    yield photo

    async def close(self) -> None:
        """Drop what is being opened."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._thread.shutdown(wait=False)


class Feed:
    """Prepared photos one by one; collects the settled ones (taken or refused) for the current shard."""

    def __init__(self, outcomes: AsyncGenerator[Outcome, None]) -> None:
        self._outcomes = outcomes
        self._left = 0
        self._refuse: Callable[[Photo, ImageError], None] | None = None
        self._next: tuple[Photo, bytes] | None = None
        self._settled: list[tuple[Photo, str | None]] = []

    def begin(self, photos: int, refuse: Callable[[Photo, ImageError], None]) -> None:
        """Begin a split of a bucket, with its number of photos; unusable ones are passed to `refuse`.

        Those of a split without a shard are in no record: a later job reads them again.
        """
        self._left, self._refuse = photos, refuse
        self._settled.clear()

    async def peek(self) -> tuple[Photo, bytes] | None:
        """The next usable photo of the split, which remains the next; None at its end. Refuses unusable ones before it.

        Raises what `refuse` raises.
        """
        while self._next is None and self._left:
            photo, result = await anext(self._outcomes)
            if isinstance(result, ImageError):
                self._left -= 1
                self._settled.append((photo, result.reason))
                if self._refuse is not None:
                    self._refuse(photo, result)
            else:
                self._next = photo, result
        return self._next

    def take(self) -> None:
        """Take the photo that `peek` returned."""
        if self._next is not None:
            self._left -= 1
            self._settled.append((self._next[0], None))
            self._next = None

    def settle(self) -> list[tuple[Photo, str | None]]:
        """The photos that were settled since the last call, the refused ones with their reasons."""
        settled, self._settled = self._settled, []
        return settled


class _Shard:
    """A shard that is being written. Bytes are gathered to a part's size: an await costs as much as a small photo."""

    def __init__(self, uri: S3Uri, upload: Any) -> None:
        self.uri = uri
        self.size = 0
        self.photos = 0
        self._upload = upload
        self._started = time.monotonic()
        self._digest = hashlib.sha256()
        self._pieces: list[bytes] = []
        self._gathered = 0

    async def add(self, piece: bytes) -> None:
        """Gather a piece, and send the gathered bytes if they fill a part."""
        self._pieces.append(piece)
        self.size += len(piece)
        self._gathered += len(piece)
        if self._gathered >= PART_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Send the gathered bytes."""
        block = b"".join(self._pieces)
        self._pieces, self._gathered = [], 0
        await asyncio.gather(asyncio.to_thread(self._digest.update, block), self._upload.write(block))

    def record(self, settled: list[tuple[Photo, str | None]]) -> Record:
        """The record of the complete shard; `settled` are the photos that it settles."""
        seconds = max(time.monotonic() - self._started, 1e-6)
        log.info("%s: %d photos, %.1f MB, %.0f photos/s", self.uri, self.photos, self.size / 1e6, self.photos / seconds)
        return Record(self.uri, self.size, self._digest.hexdigest(), photos_table(settled))


@dataclass(frozen=True)
class ShardWriter:
    """Writes the photos of buckets; no shard with several photos exceeds `shard_bytes`.

    `count` is called for each refused photo, also for those of earlier runs; `deliver` with the work of each bucket,
    when all its shards are complete.
    """

    shard_bytes: int
    count: Count
    deliver: Callable[[Work], None]

    async def write(self, openings: Openings, source: PhotoSource) -> None:
        """Write all buckets. Raises StepError when S3 fails, and what `count` raises."""
        # A shard is closed while the next one is gathered: the end of an upload takes as long as hundreds of photos.
        closing: asyncio.Task[None] | None = None
        async with aclosing(in_order(source, openings.photos())) as outcomes:
            feed = Feed(outcomes)
            try:
                for place in range(len(openings)):
                    bucket = await openings.bucket(place)
                    for reason, ids in bucket.work.rejects.items():
                        self.count(reason, ids)
                    for split in SPLITS:
                        feed.begin(len(bucket.remaining[split]), partial(self._refuse, bucket))
                        shards = bucket.work.written[split]
                        number = len(shards)
                        while await feed.peek() is not None:
                            close = await self._gather(bucket, bucket.ledger.place(split, number), feed, closing)
                            closing = asyncio.create_task(close(shards))
                            number += 1
                    closing = asyncio.create_task(self._end(bucket, closing))
                    openings.forget(place)
                if closing is not None:
                    await closing
            finally:
                if closing is not None:
                    # All photos of that shard are sent: a cancelled end would leave an upload that is neither.
                    await asyncio.gather(closing, return_exceptions=True)
                await openings.close()

    def _refuse(self, bucket: OpenBucket, photo: Photo, error: ImageError) -> None:
        log.warning("bucket %s: image %s left out (%s): %s", bucket.name, photo.image_id, error.reason, error)
        bucket.work.rejects.setdefault(error.reason, []).append(photo.image_id)
        self.count(error.reason, [photo.image_id])

    async def _gather(
        self, bucket: OpenBucket, uri: S3Uri, feed: Feed, before: asyncio.Task[None] | None
    ) -> Callable[[list[IndexedShard]], Coroutine[Any, Any, None]]:
        """Send as many photos as fit, at least one. Returns a function that ends the upload and records the shard.

        Waits also for the end of the shard `before`; if that fails, this one is aborted with it.
        """
        async with AsyncExitStack() as stack:
            shard = _Shard(uri, await stack.enter_async_context(_upload(bucket.ledger.store, uri)))
            while (following := await feed.peek()) is not None:
                photo, jpeg = following
                data = tar.sample_bytes(photo.image_id, jpeg, photo.quantity)
                if shard.photos and shard.size + len(data) + len(tar.END) > self.shard_bytes:
                    break
                await shard.add(data)
                shard.photos += 1
                feed.take()
            if before is not None:
                await before
            upload, settled = stack.pop_all(), feed.settle()

        async def close(shards: list[IndexedShard]) -> None:
            async with upload:
                await shard.add(tar.END)
                await shard.flush()
            record = shard.record(settled)
            await bucket.ledger.add(record)
            shards.append(indexed(record))

        return close

    async def _end(self, bucket: OpenBucket, before: asyncio.Task[None] | None) -> None:
        """Mark the new generation of a bucket as complete, after its last shard, and deliver the bucket's work."""
        if before is not None:
            await before
        if any(bucket.work.written.values()):
            await bucket.ledger.complete()
        self.deliver(bucket.work)


@asynccontextmanager
async def _upload(store: S3Store, uri: S3Uri) -> AsyncIterator[Any]:
    """A multipart upload, aborted by an exception in the block, so that no partial shard becomes an object."""
    import obstore

    writer = obstore.open_writer_async(store, uri.key, buffer_size=PART_BYTES, max_concurrency=PARTS_IN_FLIGHT)
    with s3_errors(uri, "writing"):
        async with writer as upload:
            yield upload
