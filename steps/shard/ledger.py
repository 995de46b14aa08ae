"""A record next to each shard, by which a rerun continues where another run ended, and later runs know written photos.

`train-000003.parquet` is written after `train-000003.tar` is complete. Its rows are the photos that the shard settles,
in the order of the bucket: those in the shard, and those that were refused since the previous
shard.
"""

from __future__ import annotations

import asyncio
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field, ValidationError

from steps.contracts.dataset import Shard, SplitName
from steps.contracts.errors import StepError
from steps.contracts.names import COMPLETE_MARKER, RECORD_SUFFIX, TAR_SUFFIX
from steps.contracts.parsing import Contract
from steps.contracts.s3_uri import S3Uri
from steps.runtime.s3 import list_objects, s3_errors, send_async
from steps.shard.rejects import by_reason

if TYPE_CHECKING:
    from obstore.store import S3Store

    from steps.shard.bucket import Photo

# Records read at once.
IN_FLIGHT = 32
# The photos that a shard settles; `reason` is why a photo was refused, null where the shard holds it. `image_etag` is
# that of the labelled object, so that a replaced photo does not count as the written one.
PHOTOS = pa.schema(
    [("image_id", pa.string()), ("image_etag", pa.string()), ("quantity", pa.int32()), ("reason", pa.string())]
)
_HEADER = b"shard"


class _Header(Contract):
    """The record's data about the whole shard, in the metadata of its Parquet file."""

    bytes: int = Field(gt=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


@dataclass(frozen=True)
class Record:
    """A shard of `size` bytes, and the photos of the bucket that it settles (a table of PHOTOS)."""

    uri: S3Uri
    size: int
    sha256: str
    photos: pa.Table

    @property
    def held(self) -> pa.Table:
        """The photos in the shard, in their order."""
        return self.photos.filter(pc.is_null(self.photos["reason"]))

    @property
    def shard(self) -> Shard:
        """The shard in an index that excludes none of its photos."""
        samples = self.photos["reason"].null_count
        return Shard(uri=str(self.uri), samples=samples, bytes=self.size, sha256=self.sha256)

    @property
    def class_counts(self) -> dict[int, int]:
        """Number of photos in the shard per quantity."""
        return dict(sorted(Counter(self.held["quantity"].to_pylist()).items()))

    @property
    def rejects(self) -> dict[str, list[str]]:
        """The refused photos by reason."""
        refused = self.photos.filter(pc.is_valid(self.photos["reason"]))
        return by_reason(zip(refused["image_id"].to_pylist(), refused["reason"].to_pylist(), strict=True))

    def content(self) -> bytes:
        """The record as it is stored; equal records result in equal bytes."""
        header = _Header(bytes=self.size, sha256=self.sha256).model_dump_json().encode()
        buffer = io.BytesIO()
        pq.write_table(self.photos.replace_schema_metadata({_HEADER: header}), buffer, compression="zstd")
        return buffer.getvalue()

    @classmethod
    def parse(cls, content: bytes, uri: S3Uri) -> Record:
        """The record of the shard at `uri`. Raises ValueError if `content` is no record."""
        table = pq.read_table(pa.BufferReader(content))
        header = _Header.model_validate_json((table.schema.metadata or {}).get(_HEADER, b""))
        return cls(
            uri, header.bytes, header.sha256, table.replace_schema_metadata(None).select(PHOTOS.names).cast(PHOTOS)
        )


def photos_table(settled: Sequence[tuple[Photo, str | None]]) -> pa.Table:
    """Photos with the reasons of their refusals (None: not refused) as a table of PHOTOS."""
    rows = [(photo.image_id, photo.etag, photo.quantity, reason) for photo, reason in settled]
    columns = zip(*rows, strict=True) if rows else [()] * len(PHOTOS)
    return pa.table([pa.array(values, field.type) for values, field in zip(columns, PHOTOS, strict=True)], PHOTOS)


@dataclass(frozen=True)
class Ledger:
    """The shards of a generation of one bucket, below `target`, and their records."""

    target: S3Uri
    store: S3Store

    def place(self, split: SplitName, number: int) -> S3Uri:
        """The place of a shard."""
        return self.target.join(split, f"{split}-{number:06d}{TAR_SUFFIX}")

    async def records(self, split: SplitName) -> list[Record]:
        """The records of a split's shards from the first to the first gap. Raises StepError for a damaged record."""
        sizes = dict(list_objects(self.target.join(split, f"{split}-")))
        number = 0
        while {self.place(split, number).key, record_of(self.place(split, number)).key} <= sizes.keys():
            number += 1
        places = [self.place(split, n) for n in range(number)]
        return await read_records(self.store, ((place, sizes[place.key]) for place in places))

    async def add(self, record: Record) -> None:
        """Record a complete shard. Raises StepError when S3 fails."""
        import obstore

        uri = record_of(record.uri)
        with s3_errors(uri, "writing"):
            content = record.content()
            await send_async(lambda: obstore.put_async(self.store, uri.key, content))

    async def complete(self) -> None:
        """Mark the generation as complete. Raises StepError when S3 fails."""
        import obstore

        uri = self.target.join(COMPLETE_MARKER)
        with s3_errors(uri, "writing"):
            await send_async(lambda: obstore.put_async(self.store, uri.key, b"{}\n"))


async def read_records(store: S3Store, shards: Iterable[tuple[S3Uri, int]]) -> list[Record]:
    """The records of `shards` (place and size in bytes). Raises StepError for a damaged record."""
    limit = asyncio.Semaphore(IN_FLIGHT)
    return await asyncio.gather(*(_read(store, place, size, limit) for place, size in shards))


async def _read(store: S3Store, place: S3Uri, size: int, limit: asyncio.Semaphore) -> Record:
    import obstore

    uri = record_of(place)
    with s3_errors(uri, "reading"):
        async with limit:
            content = bytes(await (await send_async(lambda: obstore.get_async(store, uri.key))).bytes_async())
    try:
        record = Record.parse(content, place)
    except (pa.ArrowException, ValidationError, ValueError, KeyError) as error:
        raise StepError(f"{uri}: not the record of a shard; remove it to write the shard again") from error
    if record.size != size:
        raise StepError(f"{place} has another size than in its record; remove both to write it again")
    return record


def record_of(shard: S3Uri) -> S3Uri:
    """The place of a shard's record."""
    return S3Uri(shard.bucket, shard.key.removesuffix(TAR_SUFFIX) + RECORD_SUFFIX)
