"""Photos that are kept of the test split: errors for the report, golden photos, the monitor's baseline.

The number of kept photos is limited, as the test split may not fit into memory.
"""

from __future__ import annotations

import base64
import json
import logging
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steps.contracts import photo_files
from steps.contracts.artifact import Calibration
from steps.contracts.errors import StepError
from steps.contracts.s3_uri import S3Uri
from steps.model.calibration import is_sure
from steps.photos.jpeg import ImageError
from steps.photos.statistics import measure, row, write_baseline
from steps.runtime.s3 import open_store, send
from steps.shards.reading import Sample

if TYPE_CHECKING:
    from obstore.store import S3Store

log = logging.getLogger(__name__)

LARGEST_ERRORS = 12
# Most frequent errors: this many kinds (a true count and another, predicted one), each shown by this many photos.
KINDS = 4
PHOTOS_PER_KIND = 3
# Kinds with photos in memory: every pair of counts is a kind, so the rarest ones are dropped.
KINDS_KEPT = 64

GOLDEN_PHOTOS = 8
# Well below the smallest request limit of an endpoint: 4 MB, serverless.
GOLDEN_BYTES = 2 * 1024 * 1024
GOLDEN_VERSION = 1

BASELINE_PHOTOS = 2000
BASELINE_SEED = 1
BASELINE_THREADS = 16

Kind = tuple[int, int]


@dataclass(frozen=True)
class Miscount:
    """A miscounted photo; `confidence` is the probability of the model's likeliest count."""

    image_id: str
    quantity: int
    predicted: int
    confidence: float
    jpeg: bytes = field(repr=False)

    @property
    def error(self) -> int:
        """Objects too many or too few."""
        return abs(self.quantity - self.predicted)


@dataclass(frozen=True)
class FrequentError:
    """A true count and the wrong count that was predicted: the number of such photos, and the first of them."""

    quantity: int
    predicted: int
    photos: int
    examples: tuple[Miscount, ...]


class Miscounts:
    """The largest errors, the most confident first, and the most frequent ones."""

    def __init__(self) -> None:
        self.largest: list[Miscount] = []
        self._photos: Counter[Kind] = Counter()
        self._examples: dict[Kind, list[Miscount]] = {}

    def add(self, miscounts: Iterable[Miscount]) -> None:
        """Look at the miscounted photos of a batch."""
        for miscount in miscounts:
            self.largest.append(miscount)
            kind = (miscount.quantity, miscount.predicted)
            self._photos[kind] += 1
            examples = self._examples.setdefault(kind, [])
            if len(examples) < PHOTOS_PER_KIND:
                examples.append(miscount)
        self.largest.sort(key=lambda miscount: (-miscount.error, -miscount.confidence, miscount.image_id))
        del self.largest[LARGEST_ERRORS:]
        for kind in self._by_frequency()[KINDS_KEPT:]:
            del self._examples[kind]

    def most_frequent(self) -> list[FrequentError]:
        """The most frequent kinds of error in descending order."""
        return [
            FrequentError(*kind, photos=self._photos[kind], examples=tuple(self._examples[kind]))
            for kind in self._by_frequency()[:KINDS]
        ]

    def _by_frequency(self) -> list[Kind]:
        return sorted(self._examples, key=lambda kind: (-self._photos[kind], kind))


class Golden:
    """Photos with the model's answers, one per count, each the most confident one: they test a deployed endpoint.

    An endpoint that serves this model returns these probabilities. Another answer means another model, or photos that
    are decoded in another way. `steps.deploy.smoke_test` reads the file.
    """

    def __init__(self) -> None:
        self._by_count: dict[int, tuple[float, dict[str, object]]] = {}

    def add(
        self,
        batch: Sequence[Sample],
        counts: NDArray[np.int32],
        probabilities: NDArray[np.float32],
        classes: Sequence[int],
    ) -> None:
        """Look at a batch: N photos, their counts (N,), and their probabilities (N, classes)."""
        for sample, count, photo_probabilities in zip(batch, counts.tolist(), probabilities, strict=True):
            confidence = float(photo_probabilities.max())
            if len(sample.jpeg) > GOLDEN_BYTES or confidence <= self._by_count.get(count, (0.0,))[0]:
                continue
            photo = {
                "image_id": sample.image_id,
                "jpeg": base64.b64encode(sample.jpeg).decode(),
                "count": count,
                "probabilities": {str(c): float(p) for c, p in zip(classes, photo_probabilities, strict=True)},
            }
            self._by_count[count] = (confidence, photo)
            if len(self._by_count) > GOLDEN_PHOTOS:
                del self._by_count[min(self._by_count, key=lambda count: self._by_count[count][0])]

    def write(self, path: Path) -> None:
        """Write the photos, ordered by count."""
        photos = [self._by_count[count][1] for count in sorted(self._by_count)]
        path.write_text(json.dumps({"version": GOLDEN_VERSION, "photos": photos}))


class _CountedPhoto(NamedTuple):
    image_id: str
    predicted: int
    confidence: float
    sure: bool | None


class Baseline:
    """A random sample of the photos and their counts, for the monitor. Each photo has the same chance to be in it.

    Vitter's algorithm R: https://doi.org/10.1145/3147.3165
    """

    def __init__(self, photos: int = BASELINE_PHOTOS) -> None:
        self._limit = photos
        self._random = random.Random(BASELINE_SEED)  # noqa: S311
        self._seen = 0
        self._sample: list[_CountedPhoto] = []
        self._calibration: Calibration | None = None

    def add(
        self,
        batch: Sequence[Sample],
        counts: NDArray[np.int32],
        probabilities: NDArray[np.float32],
        calibration: Calibration | None = None,
    ) -> None:
        """Look at a batch of N photos, their counts (N,), and the probabilities of these counts (N,).

        `calibration` is the model's, the same in all batches; None for a model without.
        """
        self._calibration = calibration
        sure = is_sure(probabilities, calibration).tolist() if calibration else [None] * len(batch)
        for sample, *answer in zip(batch, counts.tolist(), probabilities.tolist(), sure, strict=True):
            self._seen += 1
            place = len(self._sample) if len(self._sample) < self._limit else self._random.randrange(self._seen)
            if place < self._limit:
                self._sample[place : place + 1] = [_CountedPhoto(sample.image_id, *answer)]

    def write(self, path: Path, image_location: str) -> None:
        """Measure the sample's photos below `image_location` and write the baseline.

        An endpoint receives the originals; the photos in the shards are resized. Photos that were deleted since or
        cannot be decoded are left out. Raises StepError when no photo can be measured.
        """
        root = S3Uri.parse(image_location)
        store = open_store(root.bucket)

        def original(image_id: str) -> bytes:
            # The suffix is not recorded with a sample; nearly all have the first one.
            for name in photo_files.names(image_id):
                key = root.join("bin-images", name).key
                with suppress(FileNotFoundError):
                    return bytes(send(partial(_content, store, key)))
            raise FileNotFoundError(f"there is no {root.join('bin-images', photo_files.names(image_id)[0])}")

        def measurements(photo: _CountedPhoto) -> dict[str, Any] | None:
            try:
                statistics = measure(original(photo.image_id))
                return row(photo.image_id, photo.predicted, photo.confidence, statistics, photo.sure)
            except (FileNotFoundError, ImageError) as error:
                log.info("baseline: photo %s is left out: %s", photo.image_id, error)
                return None

        with ThreadPoolExecutor(BASELINE_THREADS) as pool:
            rows = [measured for measured in pool.map(measurements, self._sample) if measured is not None]
        if not rows:
            raise StepError(
                f"{image_location}: none of {len(self._sample)} test photos can be read for the monitor's baseline;"
                " run the pipeline with the image location of these photos"
            )
        write_baseline(path, sorted(rows, key=lambda measured: str(measured["image_id"])), self._calibration)


def _content(store: S3Store, key: str) -> bytes:
    import obstore

    return bytes(obstore.get(store, key).bytes())
