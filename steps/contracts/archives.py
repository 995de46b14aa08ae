"""Unpacking of archives that others packed, on every Python 3.11.

`filter="data"` came with 3.11.4, and Debian 12 has 3.11.2:
https://docs.python.org/3.11/library/tarfile.html#extraction-filters
"""

from __future__ import annotations

import gzip
import os
import tarfile
from pathlib import Path

CHUNK_BYTES = 1024 * 1024


def unpack_gzip(path: Path, folder: Path) -> None:
    """Unpack the whole `.tar.gz` archive at `path` below `folder`, as `unpack` does, and compare its checksum.

    Raises tarfile.TarError, OSError, EOFError or zlib.error for an archive that is not whole.
    """
    with gzip.open(path) as stream:
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            unpack(archive, folder)
        # tarfile stops at the tar's end; gzip compares its checksum only at the end of the stream.
        while stream.read(CHUNK_BYTES):
            pass


def unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """Unpack all files and folders below `folder`.

    Raises tarfile.TarError for a member that is a device or would be written outside the folder, or a link that leads
    there. A Python without filters refuses every link.
    """
    if hasattr(tarfile, "data_filter"):
        archive.extractall(folder, filter="data")
    else:
        members = [_plain(member, folder) for member in archive.getmembers()]
        archive.extractall(folder, members=members)  # noqa: S202  # each member is checked above


def _plain(member: tarfile.TarInfo, folder: Path) -> tarfile.TarInfo:
    """A member as the filter `data` has it: no leading slashes, no rights of others to write, no owner."""
    if not (member.isreg() or member.isdir()):
        raise tarfile.ExtractError(f"{member.name!r} is neither a file nor a folder")
    name = member.name.lstrip("/" + os.sep)
    root = folder.resolve()
    target = (root / name).resolve()
    if target != root and root not in target.parents:
        raise tarfile.ExtractError(f"{member.name!r} would be extracted to {str(target)!r}, outside the destination")
    member.name = name
    member.mode = 0o755 if member.isdir() else (member.mode & 0o755) | 0o600
    member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
    return member
