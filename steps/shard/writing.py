"""Shards to S3: tars that are streamed while they grow, never on disk and never whole in memory."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steps.contracts.dataset import SPLITS, SplitName
from steps.contracts.s3_uri import S3Uri
from steps.photos.jpeg import ImageError
from steps.runtime.s3 import s3_errors
from steps.shard import tar
from steps.shard.gathering import NewShard
from steps.shard.ledger import Ledger, Record, photos_table
from steps.shard.photos import PhotoSource, in_order
from steps.shard.plan import Photo, Share
from steps.shard.rejects import Rejects

if TYPE_CHECKING:
    from obstore.store import S3Store

log = logging.getLogger(__name__)

# Size of a part of a multipart upload, and parts in flight: at most 32 MB wait to be sent. S3's limit of 10,000 parts
# is reached at 80 GB.
PART_BYTES = 8 * 1024 * 1024
PARTS_IN_FLIGHT = 4

Outcome = tuple[Photo, bytes | ImageError]


class Feed:
    """Prepared photos one by one; collects the settled ones (taken or refused) for the current shard."""

    def __init__(self, outcomes: AsyncGenerator[Outcome, None], rejects: Rejects) -> None:
        self._outcomes = outcomes
        self._rejects = rejects
        self._next: Outcome | None = None
        self._settled: list[tuple[Photo, str | None]] = []

    async def peek(self, split: SplitName) -> tuple[Photo, bytes] | None:
        """The next usable photo of `split`, which remains the next; None at the split's end.

        Refuses unusable photos before it. Raises StepError when more are refused than allowed.
        """
        while True:
            self._next = self._next or await anext(self._outcomes, None)
            if self._next is None or self._next[0].split != split:
                return None
            photo, result = self._next
            if not isinstance(result, ImageError):
                return photo, result
            self._next = None
            self._settled.append((photo, result.reason))
            self._rejects.add(photo.image_id, result.reason, str(result))

    def take(self) -> None:
        """Take the photo that `peek` returned."""
        if self._next is not None:
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
    """Writes one instance's shards to the places in `ledger`; none with several photos exceeds `shard_bytes`."""

    ledger: Ledger
    shard_bytes: int

    async def write(self, share: Share, source: PhotoSource, rejects: Rejects) -> dict[SplitName, list[NewShard]]:
        """Write the missing photos of `share`. Returns each split's shards.

        Raises StepError when more photos are refused than allowed, or when S3 fails.
        """
        records = {name: await self.ledger.records(name) for name in SPLITS}
        settled = {name: sum(len(record.photos) for record in records[name]) for name in SPLITS}
        for name in SPLITS:
            if records[name]:
                log.info("%s: %d shards with %d photos exist already", name, len(records[name]), settled[name])
            for record in records[name]:
                rejects.add_all(record.rejects)
        shards = {name: [_new(record) for record in records.pop(name)] for name in SPLITS}
        missing = itertools.chain.from_iterable(share.photos(name, start=settled[name]) for name in SPLITS)
        # A shard is closed while the next one is gathered: the end of an upload takes as long as hundreds of photos.
        closing: asyncio.Task[None] | None = None
        async with aclosing(in_order(source, missing)) as outcomes:
            feed = Feed(outcomes, rejects)
            try:
                for name in SPLITS:
                    number = len(shards[name])
                    while await feed.peek(name) is not None:
                        close = await self._gather(self.ledger.place(name, number), name, feed, closing)
                        closing = asyncio.create_task(close(shards[name]))
                        number += 1
                if closing is not None:
                    await closing
            finally:
                if closing is not None:
                    closing.cancel()
                    await asyncio.gather(closing, return_exceptions=True)
        return shards

    async def _gather(
        self, uri: S3Uri, name: SplitName, feed: Feed, before: asyncio.Task[None] | None
    ) -> Callable[[list[NewShard]], Coroutine[Any, Any, None]]:
        """Send as many photos as fit, at least one. Returns a function that ends the upload and records the shard.

        Waits also for the end of the shard `before`; if that fails, this one is aborted with it.
        """
        async with AsyncExitStack() as stack:
            shard = _Shard(uri, await stack.enter_async_context(_upload(self.ledger.store, uri)))
            while (following := await feed.peek(name)) is not None:
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

        async def close(shards: list[NewShard]) -> None:
            async with upload:
                await shard.add(tar.END)
                await shard.flush()
            record = shard.record(settled)
            await self.ledger.add(record)
            # Not the record itself: its photos would stay in memory.
            shards.append(_new(record))

        return close


def _new(record: Record) -> NewShard:
    return NewShard(shard=record.shard, class_counts=record.class_counts)


@asynccontextmanager
async def _upload(store: S3Store, uri: S3Uri) -> AsyncIterator[Any]:
    """A multipart upload, aborted by an exception in the block, so that no partial shard becomes an object."""
    import obstore

    writer = obstore.open_writer_async(store, uri.key, buffer_size=PART_BYTES, max_concurrency=PARTS_IN_FLIGHT)
    with s3_errors(uri, "writing"):
        async with writer as upload:
            yield upload
