"""Weights and sizes of items, from a sample of the metadata files.

Athena cannot read them: some numbers in these files are Ion decimals (0.4), some Ion floats (5e-05). The SerDe accepts
one of these types per column, and no number in a column of text; otherwise it fails the query.
https://github.com/amazon-ion/ion-hive-serde/blob/master/docs/type-mapping.md
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa

from steps.contracts.s3_uri import S3Uri
from steps.query import direct
from steps.query.inventory import Inventory
from steps.query.metadata import document, items

FILES = 2_000
SEED = 1
WEIGHT, LENGTH, WIDTH, HEIGHT = "weight", "length", "width", "height"
MEASURES = (WEIGHT, LENGTH, WIDTH, HEIGHT)
SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string()),
        pa.field("item", pa.int32()),
        pa.field("measure", pa.string()),
        pa.field("unit", pa.string()),
        pa.field("value", pa.float64()),
    ]
)


class Measure(NamedTuple):
    """A value with its unit, both as in the file; None if missing."""

    name: str
    unit: str | None
    value: float | None


@dataclass(frozen=True)
class MeasureSample:
    """A table of SCHEMA with four rows per item of a bin, and the number of files it was read from."""

    files: int
    table: pa.Table


def sample(folder: S3Uri, inventory: Inventory, files: int = FILES, seed: int = SEED) -> MeasureSample:
    """Read `files` metadata files, or all if there are fewer; the same files for the same inventory and seed.

    Malformed and deleted files are not part of the sample. Raises StepError for a file that cannot be read.
    """
    chosen = set(random.Random(seed).sample(range(inventory.metadata), min(files, inventory.metadata)))  # noqa: S311
    ids = (image_id for place, image_id in enumerate(inventory.metadata_ids()) if place in chosen)
    read = 0
    rows: list[tuple[str, int, str, str | None, float | None]] = []
    for image_id, bin_items in direct.read(folder, ids, parse):
        if isinstance(bin_items, str):
            continue
        read += 1
        rows += [(image_id, number, *measure) for number, item in enumerate(bin_items) for measure in item]
    columns = zip(*rows, strict=True) if rows else [[] for _ in SCHEMA]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return MeasureSample(read, pa.table(arrays, schema=SCHEMA))


def parse(data: bytes) -> list[list[Measure]]:
    """The measures of each item in a metadata file. Raises MalformedError."""
    return [list(_measures(item)) for item in (items(document(data)) or {}).values()]


def _measures(item: dict[str, object]) -> Iterator[Measure]:
    fields = {key.lower(): value for key, value in item.items()}
    for name in MEASURES:
        field = fields.get(name)
        unit, value = (field.get("unit"), field.get("value")) if isinstance(field, dict) else (None, None)
        yield Measure(name, unit if isinstance(unit, str) else None, _positive(value))


def _positive(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and number > 0 else None
