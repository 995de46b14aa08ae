"""The files of a bin in the data set, `bin-images/{id}.jpg` and `metadata/{id}.json`, and their pairs by id.

The layout is that of the Amazon Bin Image Dataset (https://registry.opendata.aws/amazon-bin-imagery/), the same in its
bucket, in a tar and in a folder.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from steps.contracts import photo_files
from steps.contracts.photo_files import MAX_BYTES, LeftOut

Kind = Literal["image", "metadata"]
IMAGES = "bin-images"
METADATA = "metadata"

# Reasons to leave out a file, besides those of its name.
NO_METADATA = "image-without-metadata"
NO_IMAGE = "metadata-without-image"
TOO_LARGE = "too-large"
# Names of files that are shown per reason.
EXAMPLES = 3


@dataclass(frozen=True)
class Bin:
    """One photo and its metadata (JSON, UTF-8), as bytes. Ids are strings: `1` and `00001` are two photos."""

    image_id: str
    jpeg: bytes
    metadata: bytes


def image_key(image_id: str) -> str:
    """The key of the photo below the root of the data set."""
    return f"{IMAGES}/{image_id}.jpg"


def metadata_key(image_id: str) -> str:
    """The key of the metadata below the root of the data set."""
    return f"{METADATA}/{image_id}.json"


def parse(name: str) -> tuple[Kind, str] | None:
    """The kind and the id of the file `name` (relative to the root); None for a file of another name."""
    folder, _, file = name.partition("/")
    kind, image_id = _member(folder, file)
    return (kind, image_id) if image_id is not None and photo_files.is_usable_id(image_id) else None


def reason_of(name: str) -> str:
    """The reason why `parse` returns None."""
    folder, _, file = name.partition("/")
    if _member(folder, file)[1] is not None:
        return photo_files.UNUSABLE_ID
    return photo_files.reason_of(file) if folder in (IMAGES, METADATA) else photo_files.OTHER_FILE


def _member(folder: str, file: str) -> tuple[Kind, str | None]:
    if folder == IMAGES:
        return "image", photo_files.photo_id(file)
    return "metadata", photo_files.document_id(file) if folder == METADATA else None


@dataclass(frozen=True)
class Listed:
    """A file of a listing: the id of its bin, its size in bytes, and its name relative to the root."""

    image_id: str
    size: int
    name: str

    @property
    def order(self) -> str:
        """The key by which S3 sorts the files of a folder: ids are compared with the dot of their suffix."""
        return self.image_id + "."


@dataclass(frozen=True)
class Pair:
    """The files of a bin, by their names relative to the root."""

    image_id: str
    image: str
    metadata: str


def pairs(images: Iterable[Listed], metadata: Iterable[Listed], skipped: LeftOut) -> Iterator[Pair]:
    """The bins with both a photo and metadata, in the order of their ids.

    Both listings are sorted by `Listed.order`. `skipped` counts the files without a counterpart, those that are too
    large, and photos that share an id, such as `1.jpg` and `1.JPG`.
    """
    listings = ((file, NO_METADATA) for file in images), ((file, NO_IMAGE) for file in metadata)
    merged = heapq.merge(*listings, key=lambda entry: entry[0].order)
    for _, group in itertools.groupby(merged, key=lambda entry: entry[0].order):
        members = list(group)
        photos = [file for file, missing in members if missing == NO_METADATA]
        documents = [file for file, missing in members if missing == NO_IMAGE]
        first = members[0][0]
        if len(photos) > 1:
            skipped.add(photo_files.SEVERAL_PHOTOS, first.name)
        elif not photos or not documents:
            skipped.add(members[0][1], first.name)
        elif max(photos[0].size, documents[0].size) > MAX_BYTES:
            skipped.add(TOO_LARGE, first.name)
        else:
            yield Pair(first.image_id, photos[0].name, documents[0].name)
