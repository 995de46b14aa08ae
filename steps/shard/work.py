"""What becomes of the buckets of a plan: the shards with their photos, and the photos that are in none."""

from __future__ import annotations

from collections.abc import Iterable

from steps.contracts.dataset import SPLITS, Shard, SplitName
from steps.contracts.parsing import Contract


class IndexedShard(Contract):
    """A shard, and the number of its used photos per quantity."""

    shard: Shard
    class_counts: dict[int, int]


Shards = dict[SplitName, list[IndexedShard]]


class Work(Contract):
    """Shards of earlier runs (`reused`) and of this job (`written`) by split, and refused photos by reason."""

    reused: Shards
    written: Shards
    rejects: dict[str, list[str]]

    @property
    def photos_reused(self) -> int:
        """Photos of the data set in shards that are reused."""
        return sum(each.shard.samples for each in _all(self.reused))

    @property
    def photos_excluded(self) -> int:
        """Photos in these shards that are not used: removed, or written again since."""
        return sum(len(each.shard.excluded) for each in _all(self.reused))

    @property
    def photos_written(self) -> int:
        """Photos in shards of this job."""
        return sum(each.shard.samples for each in _all(self.written))


def no_shards() -> Shards:
    """An empty list for each split."""
    return {split: [] for split in SPLITS}


def combined(works: Iterable[Work]) -> Work:
    """All `works` as one, in their order."""
    reused, written, rejects = no_shards(), no_shards(), dict[str, list[str]]()
    for work in works:
        for split in SPLITS:
            reused[split] += work.reused.get(split, [])
            written[split] += work.written.get(split, [])
        for reason, ids in work.rejects.items():
            rejects.setdefault(reason, []).extend(ids)
    return Work(reused=reused, written=written, rejects=rejects)


def _all(shards: Shards) -> Iterable[IndexedShard]:
    return (each for split in SPLITS for each in shards.get(split, []))
