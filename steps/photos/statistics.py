"""Statistics of photos and their counts without labels: an evaluation records them, and a monitor compares them.

The baseline contract: `baseline.parquet`, one row per original photo of the test split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from steps.contracts.errors import StepError
from steps.contracts.names import BASELINE_FILE
from steps.photos.jpeg import check_jpeg, decode_rgb, resize

BASELINE = BASELINE_FILE
# Sharpness depends on the size of the measured photo. Larger photos are measured with this shorter side.
SHORTER_SIDE = 256

SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("predicted", pa.int32(), nullable=False),
        pa.field("confidence", pa.float64(), nullable=False),
        pa.field("brightness", pa.float64(), nullable=False),
        pa.field("sharpness", pa.float64(), nullable=False),
        pa.field("pixels", pa.int64(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
    ]
)


@dataclass(frozen=True)
class PhotoStatistics:
    """Mean luma (0 to 1), variance of the Laplacian, width times height, and size in bytes of a photo."""

    brightness: float
    sharpness: float
    pixels: int
    bytes: int


def measure(jpeg: bytes) -> PhotoStatistics:
    """The statistics of a photo. Raises ImageError if it cannot be decoded.

    Variance of the Laplacian as a measure of focus: Pech-Pacheco et al., "Diatom autofocusing in brightfield
    microscopy", ICPR 2000.
    """
    import cv2

    height, width = check_jpeg(jpeg)
    pixels = decode_rgb(jpeg, SHORTER_SIDE)
    scale = SHORTER_SIDE / min(pixels.shape[:2])
    if scale < 1:
        pixels = resize(pixels, round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return PhotoStatistics(
        brightness=float(luma.mean()) / 255,
        sharpness=float(cv2.Laplacian(luma, cv2.CV_64F).var()),
        pixels=height * width,
        bytes=len(jpeg),
    )


def row(image_id: str, predicted: int, confidence: float, photo: PhotoStatistics) -> dict[str, Any]:
    """A row of the baseline."""
    return {"image_id": image_id, "predicted": predicted, "confidence": confidence, **vars(photo)}


def write_baseline(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the baseline."""
    pq.write_table(pa.Table.from_pylist(list(rows), SCHEMA), path)


def read_baseline(content: bytes, name: str) -> dict[str, NDArray[Any]]:
    """The baseline's columns without the ids. Raises StepError with `name` if it is no baseline, or empty."""
    try:
        table = pq.read_table(pa.BufferReader(content), columns=SCHEMA.names).cast(SCHEMA)
    except (pa.ArrowException, ValueError, KeyError) as error:
        raise StepError(f"{name}: not a baseline of an evaluation: {error}") from error
    if not table.num_rows:
        raise StepError(f"{name}: the baseline holds no photo; evaluate a model again")
    return {column: table[column].to_numpy() for column in SCHEMA.names if column != "image_id"}
