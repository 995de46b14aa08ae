"""The plan contract: which photos belong to a data set, in which split and order, in buckets that are written alone.

A plan is a folder `plans/KEY/`, where KEY is the hash of its content: `description/plan.json`,
`description/left_out.parquet` (the photos that are left out before they are read), and a file `buckets/NAME.parquet`
per bucket. A reader needs only the buckets that it writes, and the shards of a bucket depend on nothing else: they are
the same bytes whatever the number of instances and processes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import pyarrow as pa
from pydantic import Field

from steps.contracts.dataset import Sharding, SplitName
from steps.contracts.parsing import Contract, parse, read
from steps.contracts.shard_summary import Leakage

VERSION: Literal[1] = 1
NAME = "plan.json"
LEFT_OUT_NAME = "left_out.parquet"
DESCRIPTION, BUCKETS = "description", "buckets"
KEY_DIGITS = 32
# Bins by which a model is calibrated: the error of a share of that many is 0.3 percentage points, and more would be a
# long list in each index.
CALIBRATION_BINS = 10_000
_KIND = "shard plan"

# The rows of a bucket, in the order of writing: split by split, in each split pseudo-randomly. `split` is a position in
# SPLITS; `image_etag` and `image_bytes` are those of the labelled object.
BUCKET = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("image_key", pa.string(), nullable=False),
        pa.field("quantity", pa.int32(), nullable=False),
        pa.field("image_etag", pa.string(), nullable=False),
        pa.field("image_bytes", pa.int64(), nullable=False),
        pa.field("split", pa.int8(), nullable=False),
    ]
)
# Photos that are left out, in the order of their ids.
LEFT_OUT = pa.schema(
    [pa.field("image_id", pa.string(), nullable=False), pa.field("reason", pa.string(), nullable=False)]
)


class Bucket(Contract):
    """A bucket: its name, its photos, and the hash of its Parquet file.

    The name is `WAVE-NUMBER`. A wave is the photos that were assigned to splits together, so that photos that are added
    later are in buckets of their own, and a photo never changes its bucket.
    """

    name: str = Field(pattern=r"^[0-9]{6}-[0-9]{5}$")
    photos: int = Field(gt=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @property
    def wave(self) -> str:
        """The number of its wave; later waves have larger ones."""
        return self.name.partition("-")[0]


class Uneven(Contract):
    """A quantity whose share in a split differs from the wanted one by more than a percentage point."""

    quantity: int
    split: SplitName
    share: float
    wanted: float


class ShardPlan(Contract):
    """A plan's description.

    `dataset` is the name of the folder of all shards that can be used together. `labelled` photos are those of the
    labels, `left_out` those of them that the plan leaves out by reason, `later` those of all but the first wave, and
    `class_counts` the planned photos per split and quantity. `assignments` is where the splits are stored, and
    `calibration` the sorted ids of validation photos of different bins (`steps.contracts.dataset`).
    """

    version: Literal[1] = VERSION
    dataset: str = Field(pattern=r"^[0-9a-f]{16}$")
    sharding: Sharding
    labelled: int = Field(ge=0)
    left_out: dict[str, int]
    left_out_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    later: int = Field(ge=0)
    class_counts: dict[SplitName, dict[int, int]]
    leakage: Leakage
    largest_group: int = Field(ge=0, description="photos of the largest group")
    uneven: list[Uneven] = Field(default=[])
    calibration: list[str] = Field(default=[])
    assignments: str
    buckets: list[Bucket]

    @property
    def photos(self) -> int:
        """Planned photos."""
        return sum(bucket.photos for bucket in self.buckets)

    @property
    def key(self) -> str:
        """The name of the plan's folder below `plans/`."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:KEY_DIGITS]

    def share(self, number: int, count: int) -> list[Bucket]:
        """The buckets of instance or process `number` of `count`."""
        return self.buckets[number::count]


def parse_plan(content: bytes, name: str) -> ShardPlan:
    """A plan from its JSON. Raises StepError with `name` when it is not valid."""
    return parse(ShardPlan, content, name, f"{_KIND} of version {VERSION}")


def read_plan(folder: Path) -> ShardPlan:
    """The plan in `folder` (`description/`). Raises StepError that names the file when it is missing or not valid."""
    path = folder / NAME
    return parse_plan(read(path, _KIND), str(path))
