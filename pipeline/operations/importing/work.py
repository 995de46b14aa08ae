"""An import: what is planned, what it writes, and what it leaves out."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.operations.importing import matching
from pipeline.operations.importing.destination import Destination
from pipeline.operations.importing.labels import Label
from pipeline.operations.importing.matching import OwnPhoto
from pipeline.operations.importing.pictures import TOO_LARGE, PictureError, as_jpeg
from pipeline.parallel import bounded_map
from pipeline.samples.layout import Bin, image_key, metadata_key, parse
from pipeline.samples.sources import Source
from steps.contracts.errors import PipelineError
from steps.contracts.photo_files import MAX_BYTES, LeftOut, shown

TAKEN, OTHER_QUANTITY, TWICE, UNREADABLE = "taken-id", "another-quantity-in-the-list", "listed-twice", "unreadable"
EXAMPLES = 3
WORKERS = min(16, 4 * (os.cpu_count() or 1))
WINDOW = 2 * WORKERS


@dataclass(frozen=True)
class Item:
    """A photo to import: its id, its name in the source, its label, and a function that reads it with its metadata."""

    image_id: str
    name: str
    quantity: int
    read: Callable[[], tuple[bytes, bytes]]


@dataclass(frozen=True)
class Outcome:
    """What became of a photo: `imported`, `relabelled`, `existing`, or the reason why it is left out.

    `converted_from` is the other format of an imported photo, `size` its bytes, `detail` an explanation of the reason.
    """

    item: Item
    status: str
    converted_from: str = ""
    size: int = 0
    detail: str = ""


WRITTEN, RELABELLED, EXISTING = "imported", "relabelled", "existing"


@dataclass
class Result:
    """The numbers of an import. `quantities` counts the photos at the destination, also those that existed."""

    imported: int = 0
    relabelled: int = 0
    existing: int = 0
    bytes: int = 0
    converted: Counter[str] = field(default_factory=Counter)
    quantities: Counter[int] = field(default_factory=Counter)
    left_out: LeftOut = field(default_factory=lambda: LeftOut(EXAMPLES))

    def add(self, outcome: Outcome) -> None:
        """Count one photo."""
        if outcome.status not in (WRITTEN, RELABELLED, EXISTING):
            name = f"{outcome.item.name}: {outcome.detail}" if outcome.detail else outcome.item.name
            self.left_out.add(outcome.status, name)
            return
        setattr(self, outcome.status, getattr(self, outcome.status) + 1)
        self.bytes += outcome.size
        self.quantities[outcome.item.quantity] += 1
        if outcome.converted_from:
            self.converted[outcome.converted_from] += 1


def of_own_photos(photos: list[OwnPhoto]) -> Iterator[Item]:
    """The photos of a folder, with metadata from their labels."""
    for photo in photos:
        yield Item(photo.image_id, photo.name, photo.quantity, lambda photo=photo: _own(photo))  # type: ignore[misc]


def _own(photo: OwnPhoto) -> tuple[bytes, bytes]:
    try:
        size = photo.path.stat().st_size
        if size > MAX_BYTES:
            raise PictureError(TOO_LARGE, f"{size:,} bytes; at most {MAX_BYTES:,} are read")
        data = photo.path.read_bytes()
    except OSError as error:
        raise PictureError(UNREADABLE, f"cannot be read: {error.strerror}") from error
    document: dict[str, Any] = {"BIN_FCSKU_DATA": {}, "EXPECTED_QUANTITY": photo.quantity}
    if photo.group:
        document["group"] = photo.group
    # By its digest a later import recognizes the photo, in whatever format it was.
    document["source"] = {"name": shown(photo.name), "sha256": hashlib.sha256(data).hexdigest()}
    return data, json.dumps(document, indent=4).encode()


def of_bins(source: Source, listed: Mapping[str, int] | None, left_out: LeftOut) -> Iterator[Item]:
    """The bins of a source in the data set's layout; those that are `listed` have the same quantity there."""
    missing = dict(listed or {})
    for sample in source:
        missing.pop(sample.image_id, None)
        quantity = _quantity(sample)
        if quantity is None:
            left_out.add(matching.NO_QUANTITY, sample.image_id)
        elif listed is not None and listed[sample.image_id] != quantity:
            left_out.add(OTHER_QUANTITY, f"{sample.image_id} ({listed[sample.image_id]}, not {quantity})")
        else:
            yield Item(sample.image_id, sample.image_id, quantity, lambda sample=sample: (sample.jpeg, sample.metadata))  # type: ignore[misc]
    left_out.add_all(source.skipped)
    for image_id in missing:
        left_out.add(matching.NO_PHOTO, image_id)


def quantities_of(labels: list[Label], left_out: LeftOut) -> dict[str, int]:
    """The quantity of each listed id; ids with two quantities are counted and left out."""
    quantities: dict[str, int] = {}
    twice = set()
    for label in labels:
        assert label.quantity is not None  # the list's keys are whole numbers
        if quantities.setdefault(label.photo, label.quantity) != label.quantity and label.photo not in twice:
            twice.add(label.photo)
            left_out.add(TWICE, label.photo)
    return {photo: quantity for photo, quantity in quantities.items() if photo not in twice}


def _quantity(sample: Bin) -> int | None:
    try:
        document = json.loads(sample.metadata)
        quantity = {key.upper(): value for key, value in document.items()}["EXPECTED_QUANTITY"]
    except (ValueError, KeyError, AttributeError, RecursionError):
        return None
    whole = isinstance(quantity, int | float) and not isinstance(quantity, bool) and quantity >= 0
    return int(quantity) if whole and quantity == int(quantity) else None


def carry_out(
    items: Iterator[Item], destination: Destination, *, replace: bool = False, dry: bool = False
) -> Iterator[Outcome]:
    """Import the items, several at a time, and return what became of each; with `dry` nothing is written.

    A photo comes before its metadata: metadata without a photo would be a bin without one. What is at the destination
    already stays, unless it is of the same photo or `replace` is set. Raises PipelineError where the destination cannot
    be read or written.
    """
    names = destination.names()
    photos = _photos(names)

    def work(item: Item) -> Outcome:
        try:
            data, metadata = item.read()
            document = metadata_key(item.image_id)
            earlier = destination.read(document) if document in names else b""
            present = photos.get(item.image_id, [])
            if len(present) > 1:
                return Outcome(item, TAKEN, detail=f"{' and '.join(present)} exist")
            is_same = bool(_digest(metadata)) and _digest(earlier) == _digest(metadata)
            if present and earlier == metadata and (is_same or not replace):
                return Outcome(item, EXISTING)
            if earlier and not (is_same or replace or earlier == metadata):
                return Outcome(item, TAKEN)
            picture = as_jpeg(data)
            # A photo without metadata is that of an interrupted import, or one that nobody has labelled yet.
            if present and not earlier and not replace and destination.read(present[0]) != picture.jpeg:
                return Outcome(item, TAKEN, detail="another photo exists, without metadata")
        except PictureError as error:
            return Outcome(item, error.reason, detail=str(error))
        status = RELABELLED if present and is_same else WRITTEN
        if not dry:
            if status == WRITTEN:
                destination.write(present[0] if present else image_key(item.image_id), picture.jpeg)
            destination.write(document, metadata)
        size = len(picture.jpeg) if status == WRITTEN else 0
        return Outcome(item, status, picture.converted_from if status == WRITTEN else "", size)

    return bounded_map(work, items, workers=WORKERS, window=WINDOW)


def _photos(names: set[str]) -> dict[str, list[str]]:
    """The names of the photos by their ids: `1.JPG` is the photo of `1`."""
    photos: dict[str, list[str]] = {}
    for name in sorted(names):
        parsed = parse(name)
        if parsed is not None and parsed[0] == "image":
            photos.setdefault(parsed[1], []).append(name)
    return photos


def _digest(metadata: bytes) -> str:
    """The digest of the photo that these metadata were written for; empty for other metadata."""
    try:
        return str(json.loads(metadata)["source"]["sha256"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def checked_folder(text: str) -> Path:
    """The folder of own photos. Raises PipelineError for another path."""
    path = Path(text).expanduser()
    if not path.is_dir():
        raise PipelineError(f"{text}: no such folder; with --labels, photos are read from a folder of this machine")
    return path
