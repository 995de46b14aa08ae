"""The buckets that one process writes, with all that it needs for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from steps.contracts.shard_plan import Bucket
from steps.shard.opening import OpenBucket, Place, open_bucket
from steps.shard.photos import open_source
from steps.shard.settings import Settings
from steps.shard.work import Work
from steps.shard.writing import Count, Openings, ShardWriter


@dataclass(frozen=True)
class Share:
    """Buckets to write, whose photos are resized on `threads`."""

    settings: Settings
    place: Place
    buckets: Sequence[Bucket]
    threads: int

    def openings(self) -> list[Callable[[], OpenBucket]]:
        """For each bucket a function that opens it."""
        maximum_removed = self.settings.maximum_removed
        return [partial(open_bucket, bucket, self.place, maximum_removed) for bucket in self.buckets]

    async def write(
        self, openings: Sequence[Callable[[], OpenBucket]], count: Count, deliver: Callable[[Work], None]
    ) -> None:
        """Write the buckets that `openings` open; see ShardWriter."""
        settings = self.settings
        async with open_source(settings.image_location, settings.image_size, settings.quality, self.threads) as source:
            await ShardWriter(settings.shard_bytes, count, deliver).write(Openings(openings), source)
