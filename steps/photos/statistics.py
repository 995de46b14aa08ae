"""Statistics of photos and their counts without labels: an evaluation records them, and a monitor compares them.

The baseline contract: `baseline.parquet`, one row per original photo of the test split. Its metadata have the levels of
the model's calibration, where it has one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from steps.contracts.artifact import Calibration
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
        # Null where the model has no calibration; older baselines lack the column.
        pa.field("sure", pa.bool_()),
        pa.field("brightness", pa.float64(), nullable=False),
        pa.field("sharpness", pa.float64(), nullable=False),
        pa.field("pixels", pa.int64(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
    ]
)
SURE = "sure"
_SET_LEVEL, _SURE_ACCURACY = b"set_level", b"sure_accuracy"


@dataclass(frozen=True)
class Levels:
    """What a model's calibration claims of new bins.

    `sets` is the share of prediction sets that contain the true count, `sure` the share of sure counts that are right.
    """

    sets: float
    sure: float


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


def row(
    image_id: str, predicted: int, confidence: float, photo: PhotoStatistics, sure: bool | None = None
) -> dict[str, Any]:
    """A row of the baseline; `sure` is None for a model without a calibration."""
    return {"image_id": image_id, "predicted": predicted, "confidence": confidence, SURE: sure, **vars(photo)}


def write_baseline(path: Path, rows: Sequence[Mapping[str, Any]], calibration: Calibration | None = None) -> None:
    """Write the baseline, with the levels of the model's calibration."""
    metadata = (
        {_SET_LEVEL: repr(calibration.level), _SURE_ACCURACY: repr(calibration.sure_accuracy)} if calibration else None
    )
    pq.write_table(pa.Table.from_pylist(list(rows), SCHEMA).replace_schema_metadata(metadata), path)


def read_baseline(content: bytes, name: str) -> dict[str, NDArray[Any]]:
    """The baseline's columns without the ids; without `sure` where the model had no calibration.

    Raises StepError with `name` if it is no baseline, or empty.
    """
    try:
        stored = pq.read_table(pa.BufferReader(content))
        kept = [field for field in SCHEMA if field.name != SURE or SURE in stored.column_names]
        table = stored.select([field.name for field in kept]).cast(pa.schema(kept))
    except (pa.ArrowException, ValueError, KeyError) as error:
        raise StepError(f"{name}: not a baseline of an evaluation: {error}") from error
    if not table.num_rows:
        raise StepError(f"{name}: the baseline holds no photo; evaluate a model again")
    columns = [column for column in table.column_names if column not in ("image_id", SURE)]
    values = {column: table[column].to_numpy() for column in columns}
    if SURE in table.column_names and not table[SURE].null_count:
        values[SURE] = table[SURE].cast(pa.int8()).to_numpy()
    return {column: values[column] for column in SCHEMA.names if column in values}


def read_levels(content: bytes, name: str) -> Levels | None:
    """The levels of the calibration in a baseline; None for a model without. Raises StepError with `name`."""
    metadata = pq.read_schema(pa.BufferReader(content)).metadata or {}
    if _SET_LEVEL not in metadata:
        return None
    try:
        return Levels(float(metadata[_SET_LEVEL]), float(metadata[_SURE_ACCURACY]))
    except (KeyError, ValueError) as error:
        raise StepError(f"{name}: the levels of the calibration cannot be read; evaluate a model again") from error
