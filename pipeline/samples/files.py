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
    """The size in bytes of each file by its name below the root, and a function that reads a file."""

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
            raise PipelineError(f"{path / name}: cannot be read: {error.strerror}; remove or repair it") from error

    return Files(sizes, load)


def in_tar(path: Path) -> Files:
    """The members of an uncompressed tar. Nothing is extracted: `load` reads a member from its place in the tar.

    Raises PipelineError for another file, a tar that ends early, and a name that leads out of the tar.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            # Files whose bytes are in the archive as they are: no links, no devices, no holes.
            plain = (member for member in archive if member.isreg() and not member.issparse())
            members = {_safe_name(path, member.name): member for member in plain}
    except (tarfile.TarError, OSError) as error:
        raise PipelineError(
            f"{path}: cannot be read as a tar: {error}; it has to be complete and not compressed. "
            f"Create one: tar -cf bins.tar -C FOLDER {IMAGES} {METADATA}"
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
            raise PipelineError(f"{path}: ends within {name}; create the tar again")
        return data

    return Files({name: member.size for name, member in members.items()}, load)


def _safe_name(path: Path, name: str) -> str:
    """`name` without a leading `./`. Raises PipelineError for an absolute name or one with `..`."""
    parts = PurePosixPath(name).parts
    if not parts or parts[0] == "/" or ".." in parts or "\\" in name:
        raise PipelineError(f"{path}: the member {name!r} leads out of the archive; do not use a tar like this")
    return "/".join(parts)
