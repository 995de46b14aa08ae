"""Tar members as bytes. The same sample gives the same bytes: no times, no owners, plain ustar headers."""

from __future__ import annotations

import tarfile

# Two empty blocks end an archive.
END = bytes(2 * tarfile.BLOCKSIZE)


def sample_bytes(image_id: str, jpeg: bytes, quantity: int) -> bytes:
    """One sample as WebDataset groups it: `{image_id}.jpg` and, next to it, `{image_id}.cls` (decimal text)."""
    return _member(f"{image_id}.jpg", jpeg) + _member(f"{image_id}.cls", str(quantity).encode())


def _member(name: str, content: bytes) -> bytes:
    info = tarfile.TarInfo(name)  # time, user and group 0, mode 644
    info.size = len(content)
    padding = bytes(-len(content) % tarfile.BLOCKSIZE)
    return info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict") + content + padding
