"""The shard step's summary, `shard.json`: rejected photos with reasons, the overlap of splits, and written photos.

The data set itself is in its index (`steps.contracts.dataset`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from steps.contracts.parsing import Contract, parse, read

VERSION: Literal[1] = 1
NAME = "shard.json"
_KIND = "shard summary"


class Overlap(Contract):
    """Held-out photos (validation and test), and those that show a bin, or any item, which is in training too."""

    photos: int = Field(ge=0)
    same_bin: int = Field(ge=0)
    same_item: int = Field(ge=0)

    def share(self, photos: int) -> float:
        """`photos` of these as a share: a random split has another number of held-out photos than this one."""
        return photos / max(self.photos, 1)


class Leakage(Contract):
    """Overlap of held-out photos with training, for this split and for a random split of the same photos.

    Of the `photos` of bins that are not empty, the metadata of `unknown` name neither items nor a group, so that
    nobody knows which other photos show the same bin. `copies` are photos with the same bytes as another one.
    """

    split: Overlap
    random: Overlap
    photos: int = Field(default=0, ge=0)
    unknown: int = Field(default=0, ge=0)
    copies: int = Field(default=0, ge=0)

    @property
    def is_known(self) -> bool:
        """Whether the metadata of any photo name its bin."""
        return not self.photos or self.unknown < self.photos

    @property
    def same_bin(self) -> int | None:
        """Held-out photos that show a bin of the training photos; None where nobody knows."""
        return self.split.same_bin if self.is_known or self.split.same_bin else None

    @property
    def caveat(self) -> str:
        """A sentence about the photos whose bin is unknown; empty where there are none."""
        if not self.unknown:
            return ""
        if not self.is_known:
            return "not known: the metadata name no items and no group, so nobody knows which photos show the same bin"
        return f"not known for {self.unknown:,} of {self.photos:,} photos, whose metadata name no items and no group"


class Photos(Contract):
    """Photos of the data set: `reused` from shards of earlier runs, or `written` to shards of this run.

    `excluded` photos are in reused shards but not in the data set: they were removed, or written again since.
    """

    reused: int = Field(ge=0)
    written: int = Field(ge=0)
    excluded: int = Field(ge=0)


class ShardSummary(Contract):
    """The summary of a run.

    `index` is the URI of the index's folder. `rejects` maps a reason to the ids of labelled photos that are in no
    shard. `kept` photos had their split, which is stored below `assignments`, before the newest photos were added: they
    are those of all waves of the plan but the newest.
    """

    version: Literal[1] = VERSION
    index: str
    dataset_sha256: str
    photos: Photos
    rejects: dict[str, list[str]] = Field(default={})
    leakage: Leakage
    kept: int = Field(ge=0)
    assignments: str

    @property
    def rejected(self) -> int:
        """Number of photos that are left out."""
        return sum(map(len, self.rejects.values()))


def parse_summary(content: bytes, name: str) -> ShardSummary:
    """A summary from its JSON. Raises StepError with `name` when it is not valid."""
    return parse(ShardSummary, content, name, f"{_KIND} of version {VERSION}")


def read_summary(folder: Path) -> ShardSummary:
    """The summary in `folder`. Raises StepError that names the file when it is missing or not valid."""
    path = folder / NAME
    return parse_summary(read(path, _KIND), str(path))
