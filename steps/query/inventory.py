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
import pyarrow.compute as pc
import pyarrow.parquet as pq

from steps.contracts.errors import StepError
from steps.contracts.photo_files import LeftOut, document_id, is_usable_id, photo_id, shown
from steps.contracts.query_summary import EXAMPLES
from steps.contracts.s3_uri import S3Uri
from steps.query.listing import Entry, entries_of, in_order, list_files
from steps.query.objects import ParquetFile
from steps.query.s3_inventory import S3Inventory

IMAGES, PHOTO = "bin-images", ".jpg"
METADATA, DOCUMENT = "metadata", ".json"
NAME = "inventory.parquet"
SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string()),
        pa.field("has_image", pa.bool_()),
        pa.field("has_metadata", pa.bool_()),
        pa.field("image_name", pa.string()),
        pa.field("usable_id", pa.bool_()),
        pa.field("image_etag", pa.string()),
        pa.field("image_bytes", pa.int64()),
    ]
)
_SIDES = pa.schema([SCHEMA.field(name) for name in ("image_id", "has_image", "has_metadata")])
# Rows that are Python objects at the same time.
ROWS_PER_GROUP = 16_384


class Row(NamedTuple):
    """One id, and whether it has a photo and metadata; name, ETag and size are the photo's.

    Where several photos have the id, such as `1.jpg` and `1.JPG`, name, ETag and size are None.
    """

    image_id: str
    has_image: bool
    has_metadata: bool
    image_name: str | None
    usable_id: bool
    image_etag: str | None
    image_bytes: int | None


@dataclass(frozen=True)
class Inventory:
    """A local Parquet file of SCHEMA, the numbers of ids with photos and metadata in it, and the other files."""

    path: Path
    images: int
    metadata: int
    left_out: LeftOut

    def metadata_ids(self) -> Iterator[str]:
        """The usable ids that have a metadata file, in the order of the listing."""
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(ROWS_PER_GROUP, columns=["image_id", "has_metadata", "usable_id"]):
                usable = pc.and_(batch["has_metadata"], batch["usable_id"])
                yield from batch["image_id"].filter(usable).to_pylist()


def list_inventory(location: S3Uri, scratch: Path, written: S3Inventory | None = None) -> Inventory:
    """List `bin-images/{id}.jpg` and `metadata/{id}.json` below the location into a file in `scratch`.

    With `written` the objects are those of a list of S3 Inventory. Raises StepError if the bucket cannot be listed, the
    list cannot be read, or one of the folders contains no such file.
    """
    left_out = LeftOut(EXAMPLES)
    folders = (location.join(IMAGES), location.join(METADATA))
    if written is None:
        images, metadata = (
            list_files(folder, id_of, left_out) for folder, id_of in zip(folders, (photo_id, document_id), strict=True)
        )
    else:
        written.sort(folders, scratch)
        images, metadata = (
            entries_of(written.pages(folder, scratch), folder, id_of, left_out)
            for folder, id_of in zip(folders, (photo_id, document_id), strict=True)
        )
    inventory = write(merge(images, metadata), scratch / NAME, left_out)
    for count, folder, suffix in ((inventory.images, IMAGES, PHOTO), (inventory.metadata, METADATA, DOCUMENT)):
        if not count:
            others = f"; left out: {left_out.sentence()}" if left_out.totals else ""
            listed = f" in {written.uri}" if written else ""
            raise StepError(
                f"no {folder}/*{suffix} below {location}{listed}; set the location to the folder of {folder}/{others}"
            )
    return inventory


def merge(images: Iterable[Entry], metadata: Iterable[Entry]) -> Iterator[Row]:
    """Every id once. Both listings are in the order of keys: for ids without a dot, the order of id + ".".

    Unusable ids, such as those with a dot, whose place in a listing depends on the suffix, come last. Raises StepError
    for another order.
    """
    unusable = _Unusable()
    photos = _by_id(in_order(unusable.set_aside(images, has_image=True), IMAGES))
    documents = in_order(unusable.set_aside(metadata, has_image=False), METADATA)
    photo, document = next(photos, None), next(documents, None)
    while photo or document:
        if photo and document and photo.image_id == document.image_id:
            yield photo._replace(has_metadata=True)
            photo, document = next(photos, None), next(documents, None)
        elif document is None or (photo and f"{photo.image_id}." < f"{document.image_id}."):
            assert photo is not None
            yield photo
            photo = next(photos, None)
        else:
            yield Row(document.image_id, False, True, None, True, None, None)
            document = next(documents, None)
    yield from unusable.rows()


def _by_id(photos: Iterable[Entry]) -> Iterator[Row]:
    """A row per id of the photos, which are in the order of ids."""
    for image_id, entries in itertools.groupby(photos, key=lambda entry: entry.image_id):
        first, *others = entries
        if others:
            yield Row(image_id, True, False, None, True, None, None)
        else:
            yield Row(image_id, True, False, first.name, True, first.etag, first.size)


class _Unusable:
    """The files whose ids cannot be labels: columns of Arrow, as folders contain any number of them."""

    def __init__(self) -> None:
        self._chunks = [_SIDES.empty_table()]
        self._ids: dict[bool, list[str]] = {True: [], False: []}

    def set_aside(self, entries: Iterable[Entry], *, has_image: bool) -> Iterator[Entry]:
        """The entries with usable ids; the others are kept here."""
        ids = self._ids[has_image]
        for entry in entries:
            if is_usable_id(entry.image_id):
                yield entry
                continue
            ids.append(shown(entry.image_id))
            if len(ids) == ROWS_PER_GROUP:
                self._store(has_image)
        self._store(has_image)

    def _store(self, has_image: bool) -> None:
        ids = self._ids[has_image]
        columns = (ids, [has_image] * len(ids), [not has_image] * len(ids))
        arrays = [pa.array(values, field.type) for values, field in zip(columns, _SIDES, strict=True)]
        self._chunks.append(pa.table(arrays, _SIDES))
        ids.clear()

    def rows(self) -> Iterator[Row]:
        """A row per id, in order."""
        sides = [(name, "any") for name in ("has_image", "has_metadata")]
        table = pa.concat_tables(self._chunks).group_by("image_id").aggregate(sides).sort_by("image_id")
        for batch in table.to_batches(max_chunksize=ROWS_PER_GROUP):
            columns = (batch[name].to_pylist() for name in ("image_id", "has_image_any", "has_metadata_any"))
            for image_id, has_image, has_metadata in zip(*columns, strict=True):
                yield Row(image_id, has_image, has_metadata, None, False, None, None)


def write(rows: Iterable[Row], path: Path, left_out: LeftOut) -> Inventory:
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
    return Inventory(path, images, metadata, left_out)
