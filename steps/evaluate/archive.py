"""`model.tar.gz`: the artifact as SageMaker packs it, unpacked with care."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from pathlib import Path

from steps.contracts.errors import StepError

ARCHIVE = "model.tar.gz"
CHUNK_BYTES = 1024 * 1024


def unpack(folder: Path) -> Path:
    """Unpack the `model.tar.gz` below `folder`; members that would leave their place are refused."""
    archives = sorted(folder.rglob(ARCHIVE))
    if len(archives) != 1:
        raise StepError(f"{folder}: want one {ARCHIVE}, found {len(archives)}")
    target = folder / "unpacked"
    try:
        with gzip.open(archives[0]) as stream:
            with tarfile.open(fileobj=stream, mode="r:") as archive:
                archive.extractall(target, filter="data")
            # tarfile stops at the tar's end; gzip compares its checksum only at its own.
            while stream.read(CHUNK_BYTES):
                pass
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise StepError(f"{archives[0]}: not a usable model artifact: {error}") from error
    return target
