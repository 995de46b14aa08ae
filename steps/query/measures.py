"""Weights and sizes of items, from a sample of the metadata files.

Athena cannot give them: some numbers in these files are Ion decimals (0.4), some Ion floats (5e-05), and the SerDe
takes either type in a column, never both, nor a number in a column of text. It fails the query instead.
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
    """A value with its unit, both as they stand in the file; None where there is no such thing."""

    name: str
    unit: str | None
    value: float | None


@dataclass(frozen=True)
class Sample:
    """A table of SCHEMA, four rows an item of a bin, and how many files it is from."""

    files: int
    table: pa.Table


def sample(folder: S3Uri, listed: Inventory, files: int = FILES, seed: int = SEED) -> Sample:
    """Read `files` metadata files (all, where there are fewer), the same ones for the same listing and seed.

    A file that is malformed or gone is not part of the sample. Raises StepError where one cannot be read.
    """
    chosen = set(random.Random(seed).sample(range(listed.metadata), min(files, listed.metadata)))  # noqa: S311
    ids = (image_id for place, image_id in enumerate(listed.metadata_ids()) if place in chosen)
    read = 0
    rows: list[tuple[str, int, str, str | None, float | None]] = []
    for image_id, found in direct.read(folder, ids, parse):
        if isinstance(found, str):
            continue
        read += 1
        rows += [(image_id, number, *measure) for number, item in enumerate(found) for measure in item]
    columns = zip(*rows, strict=True) if rows else [[] for _ in SCHEMA]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return Sample(read, pa.table(arrays, schema=SCHEMA))


def parse(data: bytes) -> list[list[Measure]]:
    """The measures of each item in a metadata file. Raises MalformedError."""
    return [list(_measures(item)) for item in (items(document(data)) or {}).values()]


def _measures(item: dict[str, object]) -> Iterator[Measure]:
    fields = {key.lower(): value for key, value in item.items()}
    for name in MEASURES:
        given = fields.get(name)
        unit, value = (given.get("unit"), given.get("value")) if isinstance(given, dict) else (None, None)
        yield Measure(name, unit if isinstance(unit, str) else None, _positive(value))


def _positive(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and number > 0 else None
