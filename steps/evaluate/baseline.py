"""The baseline of a monitor: a sample of the test photos as cameras leave them, and how they were counted.

The photos come from the raw location: those in the shards are resized, and an endpoint is sent what cameras leave.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.photos.jpeg import ImageError
from steps.photos.statistics import measure, row, write_baseline
from steps.runtime.s3 import open_store
from steps.shards.reading import Sample

log = logging.getLogger(__name__)

PHOTOS = 2000
SEED = 1
THREADS = 16


@dataclass(frozen=True)
class _Counted:
    image_id: str
    predicted: int
    confidence: float


class Baseline:
    """A sample of all photos that were counted, whatever their number: each is in it with the same probability.

    Vitter's algorithm R: https://doi.org/10.1145/3147.3165
    """

    def __init__(self, photos: int = PHOTOS) -> None:
        self._limit = photos
        self._random = random.Random(SEED)  # noqa: S311
        self._seen = 0
        self._kept: list[_Counted] = []

    def add(self, batch: Sequence[Sample], counts: NDArray[np.int32], confidence: NDArray[np.float32]) -> None:
        """Look at a batch of N photos, their counts (N,) and the probabilities of these counts (N,)."""
        for sample, count, sure in zip(batch, counts.tolist(), confidence.tolist(), strict=True):
            self._seen += 1
            place = len(self._kept) if len(self._kept) < self._limit else self._random.randrange(self._seen)
            if place < self._limit:
                self._kept[place : place + 1] = [_Counted(sample.image_id, count, sure)]

    def write(self, path: Path, image_location: str) -> None:
        """Measure the sample's photos below `image_location` and write the baseline.

        Photos that are no longer there are left out. Raises StepError where none is.
        """
        import obstore

        root = S3Uri.parse(image_location)
        store = open_store(root.bucket)

        def measured(one: _Counted) -> dict[str, Any] | None:
            key = root.join("bin-images", f"{one.image_id}.jpg").key
            try:
                jpeg = bytes(obstore.get(store, key).bytes())
                return row(one.image_id, one.predicted, one.confidence, measure(jpeg))
            except (FileNotFoundError, ImageError) as error:
                log.info("baseline: photo %s is left out: %s", one.image_id, error)
                return None

        with ThreadPoolExecutor(THREADS) as pool:
            rows = [one for one in pool.map(measured, self._kept) if one is not None]
        if not rows:
            raise StepError(
                f"{image_location}: none of {len(self._kept)} test photos is there to be measured for the monitor;"
                " run the pipeline with the image location that the photos are at"
            )
        write_baseline(path, sorted(rows, key=lambda one: str(one["image_id"])))
