"""The names and the largest sizes of photos' files: one rule for runs, import, predict, batches and the demo.

A photo is a JPEG with the name `ID.jpg`. Every other file has a reason, by which it is counted and named.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict

# A larger photo is refused before it is decoded: it would cost memory and add no information.
MAX_PIXELS = 50_000_000
# A larger file is refused before it is read. JPEGs of MAX_PIXELS are smaller at any usual quality.
MAX_BYTES = 32 * 1024 * 1024

# The spellings of a JPEG's suffix, in the order in which a photo is looked for by its id.
SUFFIXES = (".jpg", ".JPG", ".jpeg", ".JPEG", ".Jpg", ".Jpeg")
# Suffixes of photos in other formats, which `import` converts.
CONVERTIBLE = (".png", ".heic", ".heif", ".webp", ".avif", ".bmp", ".tif", ".tiff")
# Suffixes of other pictures.
_PICTURES = (*CONVERTIBLE, ".gif", ".jfif", ".jp2", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raw", ".svg")

# Reasons for files that are no photos.
HIDDEN, OTHER_FORMAT, OTHER_FILE, FOLDER_BELOW = "hidden-file", "other-format", "other-file", "in-a-folder-below"
UNUSABLE_ID, SEVERAL_PHOTOS = "unusable-id", "several-photos"

# An id is a file's name without suffix: the name of a member in a tar, where a dot ends a sample's key, and with `.jpg`
# it must fit into the 100 bytes of a ustar name. A name that begins with `_` is a hidden file for Hive's readers, and
# Athena is assumed to pass over it too.
ID = r"[A-Za-z0-9][A-Za-z0-9_-]{0,95}"
_ID = re.compile(ID)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def is_usable_id(image_id: str) -> bool:
    """Whether a photo with this id can be labelled and written to a shard."""
    return _ID.fullmatch(image_id) is not None


def photo_id(name: str) -> str | None:
    """The id of the file `name` in a folder of photos; None for a file that is no photo by its name."""
    return _without_suffix(name, SUFFIXES)


def document_id(name: str) -> str | None:
    """The id of the file `name` in a folder of metadata; None for another file."""
    return _without_suffix(name, (".json",))


def _without_suffix(name: str, suffixes: tuple[str, ...]) -> str | None:
    if name.startswith(".") or "/" in name:
        return None
    return next((name[: -len(suffix)] for suffix in suffixes if name.endswith(suffix)), None)


def names(image_id: str) -> list[str]:
    """The names that the photo with this id can have, the usual one first."""
    return [image_id + suffix for suffix in SUFFIXES]


def reason_of(name: str) -> str:
    """The reason why the file `name` (relative to its folder) is neither a photo nor metadata."""
    if "/" in name:
        return FOLDER_BELOW
    if name.startswith("."):
        return HIDDEN
    return OTHER_FORMAT if name.lower().endswith(_PICTURES) else OTHER_FILE


def is_folder(name: str) -> bool:
    """Whether `name`, relative to its folder, is an object that consoles create to show a folder: no file at all."""
    return not name or name.endswith("/")


def shown(name: str) -> str:
    """`name` as it can be printed and stored as UTF-8: control characters and broken bytes are escaped."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), name)


class LeftOut:
    """Files that are left out: their number by reason, and the names of the first `examples` of each."""

    def __init__(self, examples: int) -> None:
        self.totals: Counter[str] = Counter()
        self.examples: defaultdict[str, list[str]] = defaultdict(list)
        self._most = examples

    def add(self, reason: str, name: str) -> None:
        """Count one file."""
        self.totals[reason] += 1
        if len(self.examples[reason]) < self._most:
            self.examples[reason].append(shown(name))

    def add_all(self, other: LeftOut) -> None:
        """Count the files of another count."""
        self.totals.update(other.totals)
        for reason, names in other.examples.items():
            self.examples[reason] = [*self.examples[reason], *names][: self._most]

    def sentence(self) -> str:
        """The numbers by reason with the first names: `3 other-format (a.png, b.png, ...)`; empty where none is."""
        parts = []
        for reason, total in sorted(self.totals.items()):
            more = ", ..." if total > len(self.examples[reason]) else ""
            parts.append(f"{total:,} {reason} ({', '.join(self.examples[reason])}{more})")
        return "; ".join(parts)
