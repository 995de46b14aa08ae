"""Errors of a full disk: recognised in whatever a library makes of them, and explained with the folder.

A failed write knows its file descriptor only, so that Python's own message names no file; Rust and C++ libraries and
SQLite have errors of their own.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterable
from pathlib import Path

_NUMBERS = (errno.ENOSPC, errno.EDQUOT)
_TEXTS = ("no space left on device", "disk is full", "disk quota exceeded")
# A disk with less than this is called full: what is written next, such as a line or a block, does not fit.
FULL_BYTES = 1024 * 1024


def is_disk_full(error: BaseException) -> bool:
    """Whether the error, or the one that led to it, is that of a full disk."""
    return any(
        (isinstance(cause, OSError) and cause.errno in _NUMBERS) or any(text in str(cause).lower() for text in _TEXTS)
        for cause in _causes(error)
    )


def explained(error: BaseException, folders: Iterable[Path]) -> str:
    """The error of a full disk as one line with its folder.

    The folder is that of the error's file or, if it names none, those of `folders` whose disk is full, or all.
    """
    named = [Path(str(cause.filename)) for cause in _causes(error) if isinstance(cause, OSError) and cause.filename]
    places = named[:1]
    if not places:
        existing = [folder for folder in folders if folder.exists()]
        places = [folder for folder in existing if is_full(folder)] or existing
    where = " and ".join(dict.fromkeys(f"{place} ({_free(place)})" for place in places)) or "the disk"
    text = str(error).replace(f": {str(named[0])!r}", "") if named else str(error)
    return f"no space left on the disk of {where}: {text}; free some, or take a larger disk"


def is_full(folder: Path, needed: int = FULL_BYTES) -> bool:
    """Whether the disk of a folder has no room for this number of bytes."""
    return shutil.disk_usage(folder).free < needed


def _causes(error: BaseException) -> Iterable[BaseException]:
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        current = current.__cause__ or current.__context__
    return seen


def _free(place: Path) -> str:
    folder = next((parent for parent in (place, *place.parents) if parent.exists()), Path("/"))
    usage = shutil.disk_usage(folder)
    return f"{usage.free / 1e9:.1f} of {usage.total / 1e9:.1f} GB free"
