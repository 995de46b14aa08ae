"""Pairs of photos and metadata by id, from two sorted listings of any length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

# A photo of the real data set has 200 KB at most. A larger file is no photo of a bin and would only use memory.
MAX_BYTES = 32 * 1024 * 1024

NO_METADATA = "image without metadata"
NO_IMAGE = "metadata without image"
TOO_LARGE = f"larger than {MAX_BYTES // 1024**2} MiB"
OTHER_FILE = "file that is neither"


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
    photos, documents = iter(images), iter(metadata)
    photo, document = next(photos, None), next(documents, None)
    while photo is not None or document is not None:
        if document is None or (photo is not None and photo.order < document.order):
            skipped[NO_METADATA] += 1
            photo = next(photos, None)
        elif photo is None or document.order < photo.order:
            skipped[NO_IMAGE] += 1
            document = next(documents, None)
        else:
            if max(photo.size, document.size) > MAX_BYTES:
                skipped[TOO_LARGE] += 1
            else:
                yield photo.image_id
            photo, document = next(photos, None), next(documents, None)
