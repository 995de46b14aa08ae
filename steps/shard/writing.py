"""Shards out to S3: tars that are streamed as they grow, never on disk and never whole in memory."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steps.common.dataset import SPLITS, Shard, Split, SplitName
from steps.common.errors import StepError
from steps.common.images import ImageError
from steps.common.s3 import S3Uri
from steps.shard import tar
from steps.shard.photos import PhotoSource, in_order
from steps.shard.plan import Photo, Share
from steps.shard.rejects import Rejects

if TYPE_CHECKING:
    from obstore.store import S3Store

log = logging.getLogger(__name__)

# A part of a multipart upload, and how many are under way: 32 MB at most wait to be sent. S3's limit of 10,000 parts
# is 80 GB away.
PART_BYTES = 8 * 1024 * 1024
PARTS_IN_FLIGHT = 4

Sample = tuple[Photo, bytes]


@dataclass(frozen=True)
class ShardWriter:
    """Writes one instance's shards below `target`; none of more than one sample grows past `shard_bytes`."""

    target: S3Uri
    store: S3Store
    instance: int
    shard_bytes: int

    async def write_split(self, name: SplitName, samples: AsyncIterator[Sample]) -> Split:
        """Write `samples`, in their order, to `name`/`name`-INSTANCE-NUMBER.tar. Raises StepError when S3 fails."""
        shards: list[Shard] = []
        counts: Counter[int] = Counter()
        pending = await anext(samples, None)
        while pending is not None:
            uri = self.target.join(name, f"{name}-{self.instance:03d}-{len(shards):06d}.tar")
            shard, pending = await self._write_shard(uri, pending, samples, counts)
            shards.append(shard)
        return Split(shards=shards, class_counts=dict(sorted(counts.items())))

    async def _write_shard(
        self, uri: S3Uri, first: Sample, rest: AsyncIterator[Sample], counts: Counter[int]
    ) -> tuple[Shard, Sample | None]:
        """Write `first` and as many of `rest` as fit; the shard, and the sample that did not fit if there is one."""
        digest, size, number, started = hashlib.sha256(), 0, 0, time.monotonic()
        pending: Sample | None = first
        async with self._upload(uri) as upload:
            while pending is not None:
                photo, jpeg = pending
                data = tar.sample_bytes(photo.image_id, jpeg, photo.quantity)
                if number and size + len(data) + len(tar.END) > self.shard_bytes:
                    break
                await upload.write(data)
                digest.update(data)
                size += len(data)
                number += 1
                counts[photo.quantity] += 1
                pending = await anext(rest, None)
            await upload.write(tar.END)
            digest.update(tar.END)
            size += len(tar.END)
        rate = number / max(time.monotonic() - started, 1e-6)
        log.info("%s: %d photos, %.1f MB, %.0f photos/s", uri, number, size / 1e6, rate)
        return Shard(uri=str(uri), samples=number, bytes=size, sha256=digest.hexdigest()), pending

    @asynccontextmanager
    async def _upload(self, uri: S3Uri) -> AsyncIterator[Any]:
        """A multipart upload that an exception within aborts, so that no half shard becomes an object."""
        import obstore
        from obstore.exceptions import BaseError

        try:
            async with obstore.open_writer_async(
                self.store, uri.key, buffer_size=PART_BYTES, max_concurrency=PARTS_IN_FLIGHT
            ) as writer:
                yield writer
        except (BaseError, OSError) as error:  # a writer reports what S3 answers as Python's own file errors
            reason = str(error).partition("\n")[0]
            raise StepError(f"{uri}: writing it failed, with all retries: {reason}") from error


async def write_share(
    share: Share, source: PhotoSource, writer: ShardWriter, rejects: Rejects
) -> dict[SplitName, Split]:
    """Write an instance's share, split by split, and say what each split holds.

    Raises StepError when more photos are rejected than is allowed, or when S3 fails.
    """
    splits: dict[SplitName, Split] = {}
    for name in SPLITS:
        photos = [photo for photo in share.photos if photo.split == name]
        async with aclosing(_usable(source, photos, rejects)) as samples:
            splits[name] = await writer.write_split(name, samples)
    return splits


async def _usable(source: PhotoSource, photos: Sequence[Photo], rejects: Rejects) -> AsyncGenerator[Sample, None]:
    async with aclosing(in_order(source, photos)) as prepared:
        async for photo, result in prepared:
            if isinstance(result, ImageError):
                rejects.add(photo.image_id, result.reason, str(result))
            else:
                yield photo, result
