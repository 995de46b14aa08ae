"""The dataset index contract: which shards a data set consists of, what is in them, and what was left out.

Each instance of the shard step writes one `part-NNN.json`; readers merge the parts. A trainer learns sizes, classes
and class weights from here and from nowhere else.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from steps.contracts.errors import StepError

VERSION: Literal[1] = 1
SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")


class _Contract(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Shard(_Contract):
    """One tar: `sha256` is over the whole object, so that a damaged shard is found before it is trained on."""

    uri: str = Field(pattern=r"^s3://")
    samples: int = Field(gt=0)
    bytes: int = Field(gt=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Split(_Contract):
    """The shards of one split, and how many samples of each class (the quantity) they hold."""

    shards: list[Shard] = []
    class_counts: dict[int, int] = {}

    @property
    def samples(self) -> int:
        """Photos in this split."""
        return sum(shard.samples for shard in self.shards)

    @property
    def bytes(self) -> int:
        """Size of this split's shards."""
        return sum(shard.bytes for shard in self.shards)


class Sharding(_Contract):
    """The settings the shards were made with; all parts of one data set agree on them."""

    split: Literal["grouped", "random", "file"]
    seed: int
    fractions: dict[SplitName, float]
    image_size: int = Field(ge=0, description="shorter side in pixels; 0 keeps the original bytes")
    quality: int = Field(ge=1, le=100, description="JPEG quality of resized images")
    labels_sha256: str


class Overlap(_Contract):
    """Of `photos` held-out photos (validation and test), how many show a bin, or any item, that is trained on."""

    photos: int = Field(ge=0)
    same_bin: int = Field(ge=0)
    same_item: int = Field(ge=0)


class Leakage(_Contract):
    """What held-out photos share with training, and what they would under a random split of the same photos."""

    split: Overlap
    random: Overlap


class Facts(_Contract):
    """How the splits came about; nothing that the shards' content depends on.

    `kept` photos have the split of an earlier run, which stands below `assignments`.
    """

    leakage: Leakage
    kept: int = Field(ge=0)
    assignments: str


class IndexPart(_Contract):
    """What one instance wrote. `rejects` maps a reason to the ids of photos that are in no shard."""

    version: Literal[1] = VERSION
    instance: int = Field(ge=0)
    instances: int = Field(gt=0)
    sharding: Sharding
    splits: dict[SplitName, Split]
    rejects: dict[str, list[str]] = {}
    facts: Facts | None = None


class DatasetIndex(_Contract):
    """The merged index of a data set."""

    version: Literal[1] = VERSION
    sharding: Sharding
    splits: dict[SplitName, Split]
    rejects: dict[str, list[str]] = {}
    facts: Facts | None = None

    @property
    def classes(self) -> list[int]:
        """The quantities that occur in the training split, ascending; a model's output i is `classes[i]`."""
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
        """Hash of the content: of every shard's own hash and place, and of the settings."""
        content = self.model_dump_json(include={"version", "sharding", "splits"})
        return hashlib.sha256(content.encode()).hexdigest()


def merge(parts: list[IndexPart]) -> DatasetIndex:
    """One index from every instance's part.

    Raises StepError when a part is missing, comes twice or was made with other settings, when two shards have one
    URI, or when a split is empty or a class occurs outside the training split only.
    """
    if not parts:
        raise StepError("the dataset index has no parts; the shard step wrote none")
    parts = sorted(parts, key=lambda part: part.instance)
    expected = list(range(parts[0].instances))
    if [part.instance for part in parts] != expected:
        found = ", ".join(str(part.instance) for part in parts)
        raise StepError(f"the dataset index wants parts of instances 0 to {expected[-1]} but has {found}")
    sharding = parts[0].sharding
    for part in parts:
        if part.sharding != sharding:
            raise StepError(f"part {part.instance} of the dataset index was made with other settings than part 0")
    splits = {name: _merge_split([part.splits.get(name, Split()) for part in parts]) for name in SPLITS}
    rejects: dict[str, list[str]] = {}
    for part in parts:
        for reason, ids in part.rejects.items():
            rejects.setdefault(reason, []).extend(ids)
    index = DatasetIndex(
        sharding=sharding,
        splits=splits,
        rejects={reason: sorted(ids) for reason, ids in sorted(rejects.items())},
        # An instance that plans after another finds what that one has just assigned: the least is from before the job.
        facts=min((part.facts for part in parts if part.facts), key=lambda facts: facts.kept, default=None),
    )
    uris = [shard.uri for split in index.splits.values() for shard in split.shards]
    if len(uris) != len(set(uris)):
        raise StepError("the dataset index names one shard twice")
    for name, split in index.splits.items():
        if not split.samples:
            raise StepError(f"the {name} split is empty; use more photos or another split")
        for quantity in sorted(set(split.class_counts) - set(index.classes)):
            raise StepError(f"quantity {quantity} occurs in the {name} split but not in training; use more photos")
    return index


def _merge_split(pieces: list[Split]) -> Split:
    counts: dict[int, int] = {}
    for piece in pieces:
        for quantity, number in piece.class_counts.items():
            counts[quantity] = counts.get(quantity, 0) + number
    shards = [shard for piece in pieces for shard in piece.shards]
    return Split(shards=shards, class_counts=dict(sorted(counts.items())))


def part_name(instance: int) -> str:
    """File name of an instance's part."""
    return f"part-{instance:03d}.json"


def parse_part(content: bytes, name: str) -> IndexPart:
    """One part from its JSON. Raises StepError that calls it `name` when it is not valid."""
    try:
        return IndexPart.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(p) for p in first["loc"])
        raise StepError(f"{name}: not a dataset index of version {VERSION}: {where}: {first['msg']}") from error


def read_index(folder: Path) -> DatasetIndex:
    """Merge the `part-*.json` below `folder`. Raises StepError that names the file when one is not valid."""
    parts = [parse_part(path.read_bytes(), str(path)) for path in sorted(folder.rglob("part-*.json"))]
    if not parts:
        raise StepError(f"{folder}: no dataset index (part-*.json) there")
    return merge(parts)
