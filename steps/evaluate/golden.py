"""Golden photos: few photos with the answers to them, by which a deployed endpoint is tested.

An endpoint that serves this model gives these probabilities; one that does not has another model, or reads photos in
another way. `steps.deploy.smoke_test` reads the file.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steps.shards.reading import Sample

GOLDEN_PHOTOS = 8
# Well below what the smallest kind of endpoint takes: 4 MB, serverless.
MAX_BYTES = 2 * 1024 * 1024
VERSION = 1


class Golden:
    """The photos that the model is surest of, each with another count."""

    def __init__(self) -> None:
        self._surest: dict[int, tuple[float, dict[str, object]]] = {}

    def add(
        self,
        batch: Sequence[Sample],
        counts: NDArray[np.int32],
        probabilities: NDArray[np.float32],
        classes: Sequence[int],
    ) -> None:
        """Look at a batch: N photos, their counts (N,), and their probabilities (N, classes)."""
        for sample, count, row in zip(batch, counts.tolist(), probabilities, strict=True):
            sureness = float(row.max())
            if len(sample.jpeg) > MAX_BYTES or sureness <= self._surest.get(count, (0.0,))[0]:
                continue
            photo = {
                "image_id": sample.image_id,
                "jpeg": base64.b64encode(sample.jpeg).decode(),
                "count": count,
                "probabilities": {str(quantity): float(p) for quantity, p in zip(classes, row, strict=True)},
            }
            self._surest[count] = (sureness, photo)
            if len(self._surest) > GOLDEN_PHOTOS:
                del self._surest[min(self._surest, key=lambda one: self._surest[one][0])]

    def write(self, path: Path) -> None:
        """Write the photos, ordered by count."""
        photos = [self._surest[count][1] for count in sorted(self._surest)]
        path.write_text(json.dumps({"version": VERSION, "photos": photos}))
