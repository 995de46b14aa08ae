"""A bin as the data set keeps it, `bin-images/{id}.jpg` beside `metadata/{id}.json`, whatever the place.

The layout is that of the Amazon Bin Image Dataset (https://registry.opendata.aws/amazon-bin-imagery/): its bucket,
a tar of it and a folder all look alike.
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
    """Where the photo lies, below the root of the data set."""
    return f"{IMAGES}/{image_id}.jpg"


def metadata_key(image_id: str) -> str:
    """Where the metadata lie, below the root of the data set."""
    return f"{METADATA}/{image_id}.json"


def parse(name: str) -> tuple[Kind, str] | None:
    """What the file `name` (relative to the root) is, and its id; None where it is no part of the data set."""
    match = _MEMBER.fullmatch(name)
    if match is None:
        return None
    if match["folder"] == IMAGES:
        return ("image", match["id"]) if match["suffix"] == ".jpg" else None
    return ("metadata", match["id"]) if match["suffix"] == ".json" else None
