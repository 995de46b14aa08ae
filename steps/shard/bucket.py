"""A bucket of the plan in memory, and the photos in it that are to be written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from steps.contracts.dataset import SPLITS, SplitName
from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.contracts.shard_plan import BUCKET, Bucket
from steps.contracts.wording import count_of
from steps.runtime.s3 import open_store, s3_errors, send

Integers = NDArray[np.int64]

# Rows that are converted to Python objects at a time.
ROWS = 1_000


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo to be written; `etag` and `size` (bytes) are those of the labelled object."""

    split: SplitName
    image_id: str
    key: str
    quantity: int
    etag: str
    size: int


def read_bucket(folder: S3Uri, bucket: Bucket) -> pa.Table:
    """The photos of a bucket below `folder` (`plans/KEY/buckets`): a table of BUCKET, in the order of writing.

    Raises StepError for a file that is missing, is not the one that the plan names, or has other columns.
    """
    uri = folder.join(f"{bucket.name}.parquet")
    content = _read(uri)
    if hashlib.sha256(content).hexdigest() != bucket.sha256:
        raise StepError(
            f"{uri} is not the file that the plan names: its SHA-256 is another; delete it, and make the plan again"
        )
    try:
        table = pq.read_table(pa.BufferReader(content), use_threads=False).select(BUCKET.names).cast(BUCKET)
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise StepError(f"{uri}: not a bucket of a plan, whose columns are {', '.join(BUCKET.names)}") from error
    splits = splits_of(table)
    in_order = not np.any(np.diff(splits) < 0) and set(splits.tolist()) <= set(range(len(SPLITS)))
    if len(table) != bucket.photos or not in_order:
        raise StepError(
            f"{uri} needs {count_of(bucket.photos, 'photo')} in the order of splits; delete it, and make the plan again"
        )
    return table.combine_chunks()


def _read(uri: S3Uri) -> bytes:
    import obstore

    with s3_errors(uri, "reading"):
        store = open_store(uri.bucket)
        try:
            return bytes(send(lambda: obstore.get(store, uri.key).bytes()))
        except FileNotFoundError as error:
            raise StepError(f"{uri} does not exist: the plan was removed meanwhile; make it again") from error


def splits_of(photos: pa.Table) -> Integers:
    """The split of each photo of a bucket, as its position in SPLITS."""
    return np.asarray(photos["split"].to_numpy(), dtype=np.int64)


@dataclass(frozen=True)
class Remaining:
    """Photos of one split that are to be written: a table of BUCKET, in the order of writing."""

    split: SplitName
    photos: pa.Table

    def __len__(self) -> int:
        return len(self.photos)

    def __iter__(self) -> Iterator[Photo]:
        names = ("image_id", "image_key", "quantity", "image_etag", "image_bytes")
        for begin in range(0, len(self.photos), ROWS):
            chunk = self.photos.slice(begin, ROWS)
            for values in zip(*(chunk[name].to_pylist() for name in names), strict=True):
                yield Photo(self.split, *values)
