"""The files of a bin in the data set: `bin-images/{id}.jpg` and `metadata/{id}.json`.

The layout is that of the Amazon Bin Image Dataset (https://registry.opendata.aws/amazon-bin-imagery/), the same in its
bucket, in a tar and in a folder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["image", "metadata"]
IMAGES = "bin-images"
METADATA = "metadata"

# An id becomes part of an object's key and of a file's name. `..` cannot match: an id starts with a letter or digit.
_MEMBER = re.compile(r"(?P<folder>bin-images|metadata)/(?P<id>[A-Za-z0-9][A-Za-z0-9_-]{0,127})(?P<suffix>\.jpg|\.json)")


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
    if match["folder"] == IMAGES:
        return ("image", match["id"]) if match["suffix"] == ".jpg" else None
    return ("metadata", match["id"]) if match["suffix"] == ".json" else None
