"""An instance's buckets, written by this process, or dealt to several where that is faster."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from steps.contracts.shard_plan import Bucket
from steps.runtime.machine import available_cores
from steps.shard.opening import OpenBucket, Place
from steps.shard.processes import write_in_processes
from steps.shard.rejects import Rejects
from steps.shard.settings import Settings
from steps.shard.share import Share
from steps.shard.work import Work

log = logging.getLogger(__name__)

# Photos per process that make up for its start, and buckets that are opened to find out how many photos are missing.
PHOTOS_PER_PROCESS = 10_000
OPENED = 8


def number_of_processes(cores: int, buckets: int, photos: int) -> int:
    """Processes for `buckets` with `photos` that are to be written: one per core, as long as each has enough to do."""
    return max(1, min(cores, buckets, photos // PHOTOS_PER_PROCESS))


def write_buckets(settings: Settings, place: Place, buckets: Sequence[Bucket], rejects: Rejects) -> list[Work]:
    """Write the photos of `buckets` that no shard holds. Returns the work of all buckets.

    Raises StepError when more photos are refused than allowed, when S3 fails, and when a process ends before its work.
    """
    cores = available_cores()
    share = Share(settings, place, buckets, cores)
    survey = _survey(share, cores, rejects)
    missing = [*(bucket for bucket, _ in survey.incomplete), *survey.unopened]
    photos = sum(len(opened) for _, opened in survey.incomplete) + sum(bucket.photos for bucket in survey.unopened)
    if not missing:
        return survey.complete
    processes = number_of_processes(cores, len(missing), photos)
    log.info(
        "%d of %d buckets are not complete, with at most %d photos to write: %d of %d cores get a process",
        *(len(missing), len(buckets), photos, processes, cores),
    )
    works = survey.complete
    if processes == 1:
        openings: list[Callable[[], OpenBucket]] = [partial(_opened, opened) for _, opened in survey.incomplete]
        openings += Share(settings, place, survey.unopened, cores).openings()
        survey.incomplete.clear()  # a bucket is dropped when it is written
        asyncio.run(share.write(openings, rejects.add, works.append))
        return works
    threads = max(1, cores // processes)
    survey.incomplete.clear()
    shares = [Share(settings, place, missing[number::processes], threads) for number in range(processes)]
    return works + write_in_processes(shares, rejects)


@dataclass
class _Survey:
    """Buckets that are complete, those that are not, and those that were not opened, in the order of the plan."""

    complete: list[Work] = field(default_factory=list)
    incomplete: list[tuple[Bucket, OpenBucket]] = field(default_factory=list)
    unopened: Sequence[Bucket] = ()

    def decides(self, cores: int) -> bool:
        """Whether the number of processes is certain, or would take too long to find out."""
        photos = sum(len(opened) for _, opened in self.incomplete)
        most = min(cores, len(self.incomplete) + len(self.unopened))
        opened = len(self.complete) + len(self.incomplete)
        return opened >= OPENED or number_of_processes(cores, len(self.incomplete), photos) >= most


def _survey(share: Share, cores: int, rejects: Rejects) -> _Survey:
    """Open buckets until the number of processes can be decided."""
    survey = _Survey(unopened=share.buckets)
    for bucket, opening in zip(share.buckets, share.openings(), strict=True):
        if survey.decides(cores):
            break
        opened, survey.unopened = opening(), survey.unopened[1:]
        if len(opened) or any(opened.work.written.values()):
            survey.incomplete.append((bucket, opened))
        else:
            rejects.add_all(opened.work.rejects)
            survey.complete.append(opened.work)
    return survey


def _opened(bucket: OpenBucket) -> OpenBucket:
    return bucket
