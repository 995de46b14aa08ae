"""Photos and metadata brought together by id, from two listings in order, without holding either."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

# A photo of the real data set has 200 KB at most. What is larger is no bin photo and would only cost memory.
MAX_BYTES = 32 * 1024 * 1024

NO_METADATA = "image without metadata"
NO_IMAGE = "metadata without image"
TOO_LARGE = f"larger than {MAX_BYTES // 1024**2} MiB"
OTHER_FILE = "file that is neither"


@dataclass(frozen=True)
class Listed:
    """A file of a listing: whose it is, and its size in bytes."""

    image_id: str
    size: int

    @property
    def order(self) -> str:
        """Where S3 lists the file among others of its folder: keys are compared with their suffix's dot."""
        return self.image_id + "."


def pairs(images: Iterable[Listed], metadata: Iterable[Listed], skipped: Counter[str]) -> Iterator[str]:
    """The ids that have both a photo and metadata, in order.

    Both listings ascend by `Listed.order` and name an id once. What has no counterpart, or is too large to be read,
    is counted in `skipped` as it is passed.
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
