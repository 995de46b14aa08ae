"""The photos of a folder, the label of each, and the ids that they get."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.operations.importing.labels import Label
from steps.contracts import photo_files
from steps.contracts.errors import PipelineError
from steps.contracts.photo_files import CONVERTIBLE, SUFFIXES, LeftOut, is_usable_id

NO_LABEL, NO_PHOTO, NO_QUANTITY = "no-label", "label-without-photo", "no-usable-quantity"
TWO_LABELS, AMBIGUOUS, SAME_ID = "two-labels", "label-of-several-photos", "same-id-as-another"
_PICTURES = tuple({suffix.lower() for suffix in SUFFIXES} | set(CONVERTIBLE))
_LONGEST = 96


@dataclass(frozen=True)
class OwnPhoto:
    """A photo to import: its file, the name of that below the folder, its id, and its label."""

    path: Path
    name: str
    image_id: str
    quantity: int
    group: str


def own_photos(
    folder: Path, labels: Iterable[Label], *, prefix: str, passed_over: Iterable[Path], left_out: LeftOut
) -> list[OwnPhoto]:
    """The photos below `folder` with a label, in the order of their names; everything else is counted in `left_out`.

    `prefix` begins each id; `passed_over` are files and folders that are no photos of the folder, such as that of the
    labels. Raises PipelineError for a folder that cannot be read.
    """
    names = list(_pictures(folder, {path.resolve() for path in passed_over}, left_out))
    photos: list[OwnPhoto] = []
    ids: set[str] = set()
    labelled = _labelled(names, labels, left_out)
    for name in names:
        if name not in labelled:
            left_out.add(NO_LABEL, name)
            continue
        label = labelled[name]
        if label is None:
            left_out.add(TWO_LABELS, name)
            continue
        if label.quantity is None:
            left_out.add(NO_QUANTITY, f"{name}, {label.place}")
            continue
        image_id = id_of(name, prefix)
        if image_id in ids:
            left_out.add(SAME_ID, name)
            continue
        ids.add(image_id)
        photos.append(OwnPhoto(folder / name, name, image_id, label.quantity, label.group))
    return photos


def id_of(name: str, prefix: str = "") -> str:
    """A usable id for a file: its name below the folder, without suffix, with `-` for other characters.

    Where letters are lost or the name is too long, a hash of the name distinguishes it.
    """
    plain = unicodedata.normalize("NFKD", _stem(unicodedata.normalize("NFC", name)))
    letters = "".join(character for character in plain if not unicodedata.combining(character))
    image_id = re.sub(r"[^A-Za-z0-9_]+", "-", letters).strip("-_")
    is_lost = any(character.isalnum() and not character.isascii() for character in letters) or not image_id
    if is_lost or len(prefix + image_id) > _LONGEST:
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        image_id = f"{image_id[: _LONGEST - len(prefix) - 9]}-{digest}".strip("-")
    return prefix + image_id


def check_prefix(prefix: str) -> None:
    """Raise PipelineError unless ids can begin with `prefix`."""
    if prefix and not (is_usable_id(prefix) and len(prefix) <= 40):
        raise PipelineError(
            f"--prefix {prefix!r}: use at most 40 letters, digits, '-' and '_', a letter or digit first"
        )


def _pictures(folder: Path, passed_over: set[Path], left_out: LeftOut) -> Iterator[str]:
    def fail(error: OSError) -> None:
        raise PipelineError(f"{error.filename}: cannot be read: {error.strerror}") from error

    for place, folders, files in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if (Path(place) / name).resolve() not in passed_over)
        for file in sorted(files):
            path = Path(place) / file
            name = path.relative_to(folder).as_posix()
            if path.resolve() in passed_over:
                continue
            if path.exists() and not path.is_file():
                left_out.add(photo_files.OTHER_FILE, name)  # reading a pipe has no end
            elif not file.startswith(".") and file.lower().endswith(_PICTURES):
                yield name
            else:
                left_out.add(photo_files.reason_of(file), name)


def _labelled(names: list[str], labels: Iterable[Label], left_out: LeftOut) -> dict[str, Label | None]:
    """The label of each photo; None for a photo with two labels that differ."""
    labelled: dict[str, Label | None] = {}
    tiers = [_index(names, key) for key in (_whole_name, _file_name, _stem, lambda name: _stem(_file_name(name)))]
    for label in labels:
        wanted = label.photo.replace("\\", "/").removeprefix("./")
        keys = (wanted, _file_name(wanted), _stem(wanted), _stem(_file_name(wanted)))
        hits: list[str] = next(
            (tier[_folded(key)] for tier, key in zip(tiers, keys, strict=True) if _folded(key) in tier), []
        )
        hits = [name for name in hits if _may_be(name, wanted)]
        if len(hits) > 1 and wanted in hits:
            hits = [wanted]  # others differ from it in capital letters
        if len(hits) != 1:
            left_out.add(AMBIGUOUS if hits else NO_PHOTO, f"{label.photo}, {label.place}")
            continue
        other = labelled.get(hits[0], label)
        same = other is not None and (other.quantity, other.group) == (label.quantity, label.group)
        labelled[hits[0]] = label if same else None
    return labelled


def _may_be(name: str, wanted: str) -> bool:
    """Whether the folders of a photo and of a label can be the same: each path may begin further up or down."""
    folders, others = (_folded(path).split("/")[:-1] for path in (name, wanted))
    shared = min(len(folders), len(others))
    return not shared or folders[-shared:] == others[-shared:]


def _index(names: list[str], key: object) -> dict[str, list[str]]:
    assert callable(key)
    index: dict[str, list[str]] = {}
    for name in names:
        index.setdefault(_folded(key(name)), []).append(name)
    return index


def _whole_name(name: str) -> str:
    return name


def _file_name(name: str) -> str:
    return name.rpartition("/")[2]


def _stem(name: str) -> str:
    suffix = next((suffix for suffix in _PICTURES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)]


def _folded(name: str) -> str:
    """The name as file systems compare it: macOS composes letters in its own way, and some ignore case."""
    return unicodedata.normalize("NFC", name).casefold()
