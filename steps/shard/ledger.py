"""What is written already: beside each shard a record of it, so that a rerun goes on where another run ended.

`train-000-000003.json` is written once `train-000-000003.tar` is whole. It says how many photos of the plan the shard
settles, the refused ones included, so the next shard begins with the photo after them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from steps.contracts.dataset import Shard, SplitName
from steps.contracts.errors import StepError
from steps.runtime.s3 import S3Uri, list_objects

if TYPE_CHECKING:
    from obstore.store import S3Store

# Records read at once.
IN_FLIGHT = 32


class Record(BaseModel):
    """One shard: what the index says of it, its classes, and the photos of the plan that it settles."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shard: Shard
    class_counts: dict[int, int]
    photos: int = Field(gt=0)
    rejects: dict[str, list[str]] = {}


@dataclass(frozen=True)
class Ledger:
    """The shards of one instance below `target`, and their records."""

    target: S3Uri
    store: S3Store
    instance: int

    def place(self, split: SplitName, number: int) -> S3Uri:
        """Where a shard is."""
        return self.target.join(split, f"{self._stem(split)}{number:06d}.tar")

    async def records(self, split: SplitName) -> list[Record]:
        """The records of this instance's shards from the first on, as far as there is no gap.

        Raises StepError for a record that is damaged.
        """
        prefix = self.target.join(split, self._stem(split))
        sizes = dict(list_objects(prefix))
        number = 0
        while {self.place(split, number).key, _beside(self.place(split, number)).key} <= sizes.keys():
            number += 1
        limit = asyncio.Semaphore(IN_FLIGHT)
        places = [self.place(split, n) for n in range(number)]
        return await asyncio.gather(*(self._read(place, sizes[place.key], limit) for place in places))

    async def add(self, place: S3Uri, record: Record) -> None:
        """Record a shard that is whole. Raises StepError when S3 fails."""
        import obstore
        from obstore.exceptions import BaseError

        uri = _beside(place)
        try:
            await obstore.put_async(self.store, uri.key, record.model_dump_json(indent=2).encode())
        except BaseError as error:
            reason = str(error).partition("\n")[0]
            raise StepError(f"{uri}: writing it failed, with all retries: {reason}") from error

    async def _read(self, place: S3Uri, size: int, limit: asyncio.Semaphore) -> Record:
        import obstore

        async with limit:
            content = bytes(await (await obstore.get_async(self.store, _beside(place).key)).bytes_async())
        try:
            record = Record.model_validate_json(content)
        except ValidationError as error:
            raise StepError(
                f"{_beside(place)}: not the record of a shard; remove it to write the shard again"
            ) from error
        if (record.shard.uri, record.shard.bytes) != (str(place), size):
            raise StepError(f"{place} is not the shard that its record says; remove both to write it again")
        return record

    def _stem(self, split: SplitName) -> str:
        return f"{split}-{self.instance:03d}-"


def merge_counts(counts: list[Mapping[int, int]]) -> dict[int, int]:
    """The sum of several class counts, by class."""
    total: dict[int, int] = {}
    for one in counts:
        for quantity, number in one.items():
            total[quantity] = total.get(quantity, 0) + number
    return dict(sorted(total.items()))


def _beside(place: S3Uri) -> S3Uri:
    return S3Uri(place.bucket, place.key.removesuffix(".tar") + ".json")
