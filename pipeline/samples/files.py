"""The files of a data set in a folder or in a tar on this machine."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.samples.layout import IMAGES, METADATA
from steps.contracts.errors import PipelineError


@dataclass(frozen=True)
class Files:
    """Every file's name below the root with its size in bytes, and how to read one."""

    sizes: dict[str, int]
    load: Callable[[str], bytes]


def in_folder(path: Path) -> Files:
    """The files in `bin-images/` and `metadata/` below `path`. Raises PipelineError when one of the two is missing."""
    sizes = {}
    for name in (IMAGES, METADATA):
        if not (path / name).is_dir():
            raise PipelineError(f"{path}: has no folder {name}/; photos belong in {IMAGES}/, metadata in {METADATA}/")
        with os.scandir(path / name) as entries:
            sizes.update({f"{name}/{entry.name}": entry.stat().st_size for entry in entries if entry.is_file()})

    def load(name: str) -> bytes:
        try:
            return (path / name).read_bytes()
        except OSError as error:
            raise PipelineError(f"{path / name}: cannot be read: {error.strerror}; remove it or mend it") from error

    return Files(sizes, load)


def in_tar(path: Path) -> Files:
    """The members of an uncompressed tar. Nothing is extracted: a member is read from its place when it is wanted.

    Raises PipelineError for what is no such tar, ends early, or holds a name that leads out of it.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            members = {_safe_name(path, member.name): member for member in archive if _is_plain(member)}
    except (tarfile.TarError, OSError) as error:
        raise PipelineError(
            f"{path}: cannot be read as a tar: {error}; is it whole, and not compressed? "
            f"Make one with: tar -cf bins.tar -C FOLDER {IMAGES} {METADATA}"
        ) from error

    def load(name: str) -> bytes:
        member = members[name]
        try:
            with path.open("rb") as file:
                file.seek(member.offset_data)
                data = file.read(member.size)
        except OSError as error:
            raise PipelineError(f"{path}: can no longer be read: {error.strerror}") from error
        if len(data) != member.size:
            raise PipelineError(f"{path}: ends within {name}; make the tar again")
        return data

    return Files({name: member.size for name, member in members.items()}, load)


def _is_plain(member: tarfile.TarInfo) -> bool:
    """A file whose bytes lie in the archive as they are: no link, no device, no holes."""
    return member.isreg() and not member.issparse()


def _safe_name(path: Path, name: str) -> str:
    """`name` without a leading `./`; refused where it is absolute or climbs out of the archive."""
    parts = PurePosixPath(name).parts
    if not parts or parts[0] == "/" or ".." in parts or "\\" in name:
        raise PipelineError(f"{path}: the member {name!r} leads out of the archive; do not use a tar like this")
    return "/".join(parts)
