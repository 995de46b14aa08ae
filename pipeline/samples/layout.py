"""The files of a bin in the data set, `bin-images/{id}.jpg` and `metadata/{id}.json`, and their pairs by id.

The layout is that of the Amazon Bin Image Dataset (https://registry.opendata.aws/amazon-bin-imagery/), the same in its
bucket, in a tar and in a folder.
"""

from __future__ import annotations

import heapq
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["image", "metadata"]
IMAGES = "bin-images"
METADATA = "metadata"

# An id becomes part of an object's key and of a file's name. `..` cannot match: an id starts with a letter or digit.
_ID = "[A-Za-z0-9][A-Za-z0-9_-]{0,127}"
_MEMBER = re.compile(rf"bin-images/(?P<image>{_ID})\.jpg|metadata/(?P<metadata>{_ID})\.json")

# A photo of the real data set has 200 KB at most. A larger file is no photo of a bin and would only use memory.
MAX_BYTES = 32 * 1024 * 1024

NO_METADATA = "image without metadata"
NO_IMAGE = "metadata without image"
TOO_LARGE = f"larger than {MAX_BYTES // 1024**2} MiB"
OTHER_FILE = "file that is neither"


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
    match = _MEMBER.fullmatch(name)
    if match is None:
        return None
    return ("image", match["image"]) if match["image"] else ("metadata", match["metadata"])


@dataclass(frozen=True)
class Listed:
    """A file of a listing: the id of its bin, and its size in bytes."""

    image_id: str
    size: int

    @property
    def order(self) -> str:
        """The key by which S3 sorts the files of a folder: ids are compared with the dot of their suffix."""
        return self.image_id + "."


def pairs(images: Iterable[Listed], metadata: Iterable[Listed], skipped: Counter[str]) -> Iterator[str]:
    """The ids with both a photo and metadata, in order.

    Both listings are sorted by `Listed.order`, with each id once. `skipped` counts the files without a counterpart and
    those that are too large.
    """
    listings = ((file, NO_METADATA) for file in images), ((file, NO_IMAGE) for file in metadata)
    merged = heapq.merge(*listings, key=lambda entry: entry[0].order)
    for _, group in itertools.groupby(merged, key=lambda entry: entry[0].order):
        (file, missing), *others = group
        if not others:
            skipped[missing] += 1
        elif max(file.size, others[0][0].size) > MAX_BYTES:
            skipped[TOO_LARGE] += 1
        else:
            yield file.image_id
