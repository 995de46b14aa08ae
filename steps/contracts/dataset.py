"""The dataset index contract: the shards of a data set, and the photos in them that belong to it.

An index is one file, `indexes/KEY/index.json`, where KEY is the hash of its content: the same photos in the same shards
have the same location, so that a step with this input comes from the cache. It is the trainer's only source of sizes,
classes and class weights. Rejected photos and the overlap of splits belong to a run and are in another file
(`steps.contracts.shard_summary`).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

from pydantic import Field

from steps.contracts.errors import StepError
from steps.contracts.parsing import Contract, parse, read

VERSION: Literal[2] = 2
NAME = "index.json"
MANIFEST = "manifest.json"
_KIND = "dataset index"
# Digits of a SHA-256 in a key; two contents with the same digits are practically impossible.
KEY_DIGITS = 32
SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
_TRAINED: tuple[SplitName, ...] = ("train", "validation")


class Shard(Contract):
    """A tar, and its photos in the data set.

    `sha256` is over the whole object, so that damage is detected before training. `excluded` are the sorted ids of
    photos in the tar that are not used, because they were removed or written again; `samples` counts the others.
    """

    uri: str = Field(pattern=r"^s3://")
    samples: int = Field(gt=0)
    bytes: int = Field(gt=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    excluded: list[str] = Field(default=[])


class Split(Contract):
    """The shards of one split, and their number of samples per class (the quantity)."""

    shards: list[Shard] = Field(default=[])
    class_counts: dict[int, int] = Field(default={})

    @property
    def samples(self) -> int:
        """Photos in this split."""
        return sum(shard.samples for shard in self.shards)

    @property
    def bytes(self) -> int:
        """Size of this split's shards."""
        return sum(shard.bytes for shard in self.shards)


class Sharding(Contract):
    """The settings of the shards."""

    split: Literal["grouped", "random", "file"]
    seed: int
    fractions: dict[SplitName, float]
    image_size: int = Field(ge=0, description="shorter side in pixels; 0 keeps the original bytes")
    quality: int = Field(ge=1, le=100, description="JPEG quality of resized images")


class DatasetIndex(Contract):
    """The index of a data set.

    `calibration` are the sorted ids of validation photos, one per physical bin, by which a model's confidence is
    calibrated; at most `steps.contracts.shard_plan.CALIBRATION_BINS`. There are none in older indexes.
    """

    version: Literal[2] = VERSION
    sharding: Sharding
    splits: dict[SplitName, Split]
    calibration: list[str] = Field(default=[])

    @property
    def classes(self) -> list[int]:
        """The quantities in the training split, ascending; a model's output i belongs to `classes[i]`."""
        return sorted(c for c, n in self.splits["train"].class_counts.items() if n)

    @property
    def class_weights(self) -> list[float]:
        """Balanced weights N / (k * n_c) of the training split, in the order of `classes`.

        The formula is scikit-learn's `class_weight="balanced"`.
        """
        counts = self.splits["train"].class_counts
        total = sum(counts.values())
        return [total / (len(self.classes) * counts[c]) for c in self.classes]

    @property
    def sha256(self) -> str:
        """Hash of the content: every shard's own hash, location and used photos, and the settings."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def content(self) -> bytes:
        """The index as JSON; one without photos that calibrate as earlier releases write and read it."""
        return self.model_dump_json(exclude=None if self.calibration else {"calibration"}).encode()

    @property
    def key(self) -> str:
        """The name of the index's folder below `indexes/`."""
        return self.sha256[:KEY_DIGITS]


def check(index: DatasetIndex) -> None:
    """Raise StepError for a shard in two places, an empty split, or a class that is missing in training.

    A shard with the same bytes in two splits is in two places, too: nothing may be learned from test photos. Single
    photos in two splits are not noticed here: the plan of the data set puts each in one.
    """
    uris = [shard.uri for split in index.splits.values() for shard in split.shards]
    if len(uris) != len(set(uris)):
        raise StepError("the dataset index contains a shard twice")
    places: dict[str, tuple[str, str]] = {}
    for name, split in index.splits.items():
        for shard in split.shards:
            first, uri = places.setdefault(shard.sha256, (name, shard.uri))
            if first != name:
                raise StepError(
                    f"{shard.uri} of the {name} split has the same bytes as {uri} of the {first} split; shard the"
                    " photos again"
                )
    for name in SPLITS:
        split = index.splits.get(name, Split())
        if not split.samples:
            raise StepError(f"the {name} split is empty; use more photos or another split")
        for quantity in sorted(set(split.class_counts) - set(index.classes)):
            raise StepError(f"quantity {quantity} occurs in the {name} split but not in training; use more photos")


def manifest(index: DatasetIndex, prefix: str) -> bytes:
    """The shards that a trial reads, below `prefix`, as the ManifestFile of a channel; none of the test split.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_S3DataSource.html. Raises StepError for a shard that
    is not below `prefix`.
    """
    start = f"{prefix.rstrip('/')}/"
    uris = [shard.uri for name in _TRAINED for shard in index.splits[name].shards]
    if outside := [uri for uri in uris if not uri.startswith(start)]:
        raise StepError(f"{outside[0]} is not below {start}, the prefix of the manifest")
    return json.dumps([{"prefix": start}, *(uri.removeprefix(start) for uri in uris)], indent=0).encode()


def parse_index(content: bytes, name: str) -> DatasetIndex:
    """An index from its JSON. Raises StepError with `name` when it is not valid."""
    index = parse(DatasetIndex, content, name, f"{_KIND} of version {VERSION}")
    check(index)
    return index


def read_index(folder: Path) -> DatasetIndex:
    """The index in `folder`. Raises StepError that names the file when it is missing or not valid."""
    path = folder / NAME
    return parse_index(read(path, _KIND), str(path))
