"""The content of the raw location: the ids of its photos and of its metadata files, merged from two sorted listings.

Half a million ids are a table of about 30 MB, so they are written to a Parquet file while they are listed, and read
from it in batches.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.query.listing import Entry, in_order, list_files
from steps.query.objects import ParquetFile

IMAGES, PHOTO = "bin-images", ".jpg"
METADATA, DOCUMENT = "metadata", ".json"
NAME = "inventory.parquet"
SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string()),
        pa.field("has_image", pa.bool_()),
        pa.field("has_metadata", pa.bool_()),
        pa.field("image_etag", pa.string()),
        pa.field("image_bytes", pa.int64()),
    ]
)
# Rows that are Python objects at the same time.
ROWS_PER_GROUP = 16_384
# An id with a dot cannot be a label, and its place in a listing depends on the suffix. This many are kept in memory.
MOST_WITH_A_DOT = 10_000


class Row(NamedTuple):
    """One id, and whether it has a photo and metadata; ETag and size are the photo's."""

    image_id: str
    has_image: bool
    has_metadata: bool
    image_etag: str | None
    image_bytes: int | None


@dataclass(frozen=True)
class Inventory:
    """A local Parquet file of SCHEMA, and the numbers of photos and metadata files in it."""

    path: Path
    images: int
    metadata: int

    def metadata_ids(self) -> Iterator[str]:
        """The ids that have a metadata file, in the order of the listing."""
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(ROWS_PER_GROUP, columns=["image_id", "has_metadata"]):
                yield from batch["image_id"].filter(batch["has_metadata"]).to_pylist()


def list_inventory(location: S3Uri, scratch: Path) -> Inventory:
    """List `bin-images/{id}.jpg` and `metadata/{id}.json` below the location into a file in `scratch`.

    Raises StepError if the bucket cannot be listed, or one of the folders contains no such file.
    """
    images = list_files(location.join(IMAGES), PHOTO)
    metadata = list_files(location.join(METADATA), DOCUMENT)
    inventory = write(merge(images, metadata), scratch / NAME)
    for count, folder, suffix in ((inventory.images, IMAGES, PHOTO), (inventory.metadata, METADATA, DOCUMENT)):
        if not count:
            raise StepError(f"no {folder}/*{suffix} below {location}; set the location to the folder of {folder}/")
    return inventory


def merge(images: Iterable[Entry], metadata: Iterable[Entry]) -> Iterator[Row]:
    """Every id once. Both listings are in the order of keys: for ids without a dot, the order of id + ".".

    Ids with a dot come last. Raises StepError for another order, and for more than MOST_WITH_A_DOT ids with a dot.
    """
    dotted: dict[str, Row] = {}
    photos = in_order(_without_dot(images, dotted, has_image=True), IMAGES)
    documents = in_order(_without_dot(metadata, dotted, has_image=False), METADATA)
    photo, document = next(photos, None), next(documents, None)
    while photo or document:
        if photo and document and photo.image_id == document.image_id:
            yield Row(photo.image_id, True, True, photo.etag, photo.size)
            photo, document = next(photos, None), next(documents, None)
        elif document is None or (photo and f"{photo.image_id}." < f"{document.image_id}."):
            assert photo is not None
            yield Row(photo.image_id, True, False, photo.etag, photo.size)
            photo = next(photos, None)
        else:
            yield Row(document.image_id, False, True, None, None)
            document = next(documents, None)
    yield from (dotted[image_id] for image_id in sorted(dotted))


def _without_dot(entries: Iterable[Entry], dotted: dict[str, Row], *, has_image: bool) -> Iterator[Entry]:
    for entry in entries:
        image_id = entry.image_id
        if "." not in image_id:
            yield entry
        elif has_image:
            has_metadata = image_id in dotted and dotted[image_id].has_metadata
            dotted[image_id] = Row(image_id, True, has_metadata, entry.etag, entry.size)
        else:
            row = dotted.get(image_id, Row(image_id, False, True, None, None))
            dotted[image_id] = row._replace(has_metadata=True)
        if len(dotted) > MOST_WITH_A_DOT:
            raise StepError(
                f"more than {MOST_WITH_A_DOT} files have a dot in their id, such as {image_id!r}; name photos"
                f" ID{PHOTO} and metadata ID{DOCUMENT} with letters, digits, '-' and '_' in ID"
            )


def write(rows: Iterable[Row], path: Path) -> Inventory:
    """Write the rows as a Parquet file; one row group is in memory at a time."""
    file = ParquetFile(path, SCHEMA)
    images = metadata = 0
    remaining = iter(rows)
    try:
        while group := list(itertools.islice(remaining, ROWS_PER_GROUP)):
            images += sum(row.has_image for row in group)
            metadata += sum(row.has_metadata for row in group)
            columns = [
                pa.array(column, field.type) for column, field in zip(zip(*group, strict=True), SCHEMA, strict=True)
            ]
            file.write(pa.record_batch(columns, schema=SCHEMA))
    finally:
        file.close()
    return Inventory(path, images, metadata)
