"""Who writes what: the split of every photo, the order of all, and one instance's share. Arithmetic, no I/O.

Every instance makes the same plan from the same labels and takes its share by counting; none talks to another.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from steps.common.container import Instance
from steps.common.dataset import SPLITS, Sharding, SplitName
from steps.common.errors import StepError
from steps.shard.groups import group_photos
from steps.shard.settings import Settings
from steps.shard.splits import assign, shuffle_key

log = logging.getLogger(__name__)

# An id becomes a member name in a tar, where a dot ends the sample's key and a slash begins a folder; with `.jpg` it
# must fit the 100 bytes of a ustar name.
_SAFE_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,95}")
# S3 takes any key, but clients resolve these segments and would ask for another object.
_UNSAFE_SEGMENTS = frozenset({"", ".", ".."})


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo to be written."""

    image_id: str
    key: str
    quantity: int
    split: SplitName
    group: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A photo that is left out before it is looked at."""

    image_id: str
    reason: str


@dataclass(frozen=True)
class Share:
    """What one instance does: photos in the order of writing, split by split, and refusals that it reports."""

    photos: list[Photo]
    refusals: list[Refusal]

    def __len__(self) -> int:
        return len(self.photos) + len(self.refusals)


@dataclass(frozen=True)
class Plan:
    """The whole data set: photos split by split, in each split in an order that looks like chance."""

    photos: list[Photo]
    refusals: list[Refusal]

    def share(self, instance: Instance) -> Share:
        """The photos and refusals at every `instance.count`-th place: shares differ by one at most.

        Taken like this, every split is spread over all instances, and every instance's share is a random sample.
        """
        places = range(instance.index, len(self.photos) + len(self.refusals), instance.count)
        photos = [self.photos[place] for place in places if place < len(self.photos)]
        refusals = [self.refusals[p - len(self.photos)] for p in places if p >= len(self.photos)]
        return Share(photos, refusals)


def make_plan(labels: pa.Table, settings: Settings, listed: Mapping[str, SplitName] | None = None) -> Plan:
    """The plan for `labels` (the labels contract). `listed` is the given split of `settings.split` "file".

    Raises StepError when a split is empty, a quantity does not occur in training, or all photos show one quantity.
    """
    columns = (labels[name].to_pylist() for name in ("image_id", "quantity", "asins", "image_key"))
    refusals: list[Refusal] = []
    kept: list[tuple[str, int, list[str] | None, str]] = []
    for image_id, quantity, asins, key in zip(*columns, strict=True):
        reason = _refuse(image_id, key, listed)
        if reason:
            refusals.append(Refusal(image_id, reason))
        else:
            kept.append((image_id, quantity, asins, key))
    if not kept:
        raise StepError(f"none of the {len(refusals)} labelled photos can be used: {_reasons(refusals)}")
    image_ids, quantities, asins_of, keys = zip(*kept, strict=True)
    groups = group_photos(image_ids, asins_of)
    splits = _split(settings, listed, image_ids, quantities, groups)
    _report_leak(groups, splits)
    photos = [Photo(*fields) for fields in zip(image_ids, keys, quantities, splits, groups, strict=True)]
    rank = {split: number for number, split in enumerate(SPLITS)}
    photos.sort(key=lambda p: (rank[p.split], shuffle_key(settings.seed, p.image_id), p.image_id))
    _check_splits(photos)
    return Plan(photos, sorted(refusals, key=lambda refusal: refusal.image_id))


def describe(settings: Settings, labels: pa.Table, plan: Plan) -> Sharding:
    """The settings as the index records them, with a hash of the labels; of a given split, the fractions it has."""
    fractions = settings.fractions
    if settings.split == "file":
        counts = Counter(photo.split for photo in plan.photos)
        fractions = {split: counts[split] / len(plan.photos) for split in SPLITS}
    digest = hashlib.sha256()
    for batch in labels.to_batches(max_chunksize=10_000):
        for row in batch.to_pylist():
            digest.update(json.dumps(row, sort_keys=True).encode() + b"\n")
    return Sharding(
        split=settings.split,
        seed=settings.seed,
        fractions={split: round(fraction, 6) for split, fraction in fractions.items()},
        image_size=settings.image_size,
        quality=settings.quality,
        labels_sha256=digest.hexdigest(),
    )


def _refuse(image_id: str, key: str, listed: Mapping[str, SplitName] | None) -> str | None:
    if not _SAFE_ID.fullmatch(image_id):
        return "unsafe-id"
    if _UNSAFE_SEGMENTS & set(key.split("/")):
        return "unsafe-key"
    if listed is not None and image_id not in listed:
        return "not-in-split-file"
    return None


def _split(
    settings: Settings,
    listed: Mapping[str, SplitName] | None,
    image_ids: Sequence[str],
    quantities: Sequence[int],
    groups: Sequence[str],
) -> list[SplitName]:
    if listed is not None:
        return [listed[image_id] for image_id in image_ids]
    units = groups if settings.split == "grouped" else image_ids
    return assign(units, quantities, settings.fractions, settings.seed)


def _report_leak(groups: Sequence[str], splits: Sequence[SplitName]) -> None:
    """Say how many held-out photos show a bin that is trained on: their figures flatter the model."""
    trained = {group for group, split in zip(groups, splits, strict=True) if split == "train"}
    held_out = [group for group, split in zip(groups, splits, strict=True) if split != "train"]
    leaked = sum(group in trained for group in held_out)
    log.info("%d of %d validation and test photos show a bin that is in training too", leaked, len(held_out))


def _check_splits(photos: Sequence[Photo]) -> None:
    counts: dict[SplitName, Counter[int]] = defaultdict(Counter)
    for photo in photos:
        counts[photo.split][photo.quantity] += 1
    for split in SPLITS:
        log.info("%s: %s", split, ", ".join(f"{n} photos of {q}" for q, n in sorted(counts[split].items())))
        if not counts[split]:
            raise StepError(f"no photo falls to the {split} split; use more photos, other fractions or another split")
    everywhere = {photo.quantity for photo in photos}
    if len(everywhere) < 2:
        raise StepError(f"all {len(photos)} photos show {min(everywhere)} objects; a model needs two quantities")
    for quantity in sorted(everywhere - set(counts["train"])):
        raise StepError(f"no photo with quantity {quantity} falls to training; use more photos or another split")
    for split in SPLITS:
        for quantity in sorted(everywhere - set(counts[split])):
            log.warning("quantity %d is too rare to occur in the %s split", quantity, split)


def _reasons(refusals: Sequence[Refusal]) -> str:
    counts = Counter(refusal.reason for refusal in refusals)
    return ", ".join(f"{reason} {count}" for reason, count in counts.most_common()) or "there are none"
