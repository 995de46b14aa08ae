"""The bytes of a channel in Pipe mode: its objects one after another, decompressed and in records on request.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_Channel.html
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pipeline.local.context import Request
from pipeline.local.machine.transfer import Source

PART = 1 << 20
# Of MXNet's RecordIO: https://mxnet.apache.org/versions/1.9.1/api/architecture/note_data_loading.html
_MAGIC = struct.pack("<I", 0xCED7230A)
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)


def of(channel: Request, s3: Any, sources: list[Source]) -> Callable[[int], Iterator[bytes]]:
    """A function that returns the bytes of an epoch of the channel.

    With a ShuffleConfig each epoch has an order of its own, by its seed: "shuffling is done at the start of every
    epoch" (ShuffleConfig in botocore's model).
    """
    seed = channel.get("ShuffleConfig", {}).get("Seed")

    def stream(epoch: int) -> Iterator[bytes]:
        ordered = list(sources)
        if seed is not None:
            random.Random(f"{seed} {epoch}").shuffle(ordered)  # noqa: S311
        for source in ordered:
            body = s3.get_object(Bucket=source.bucket, Key=source.key)["Body"]
            parts: Iterable[bytes] = body.iter_chunks(PART)
            if channel.get("CompressionType") == "Gzip":
                parts = _decompressed(parts, source)
            if channel.get("RecordWrapperType") == "RecordIO":
                parts = record(b"".join(parts))
            yield from parts

    return stream


def record(data: bytes) -> Iterator[bytes]:
    """One RecordIO record. Data is split where it has the magic number itself, at a multiple of four bytes."""
    pieces, begin = [], 0
    position = data.find(_MAGIC)
    while position >= 0:
        if position % 4 == 0:
            pieces.append(data[begin:position])
            begin = position + 4
        position = data.find(_MAGIC, position + 1)
    pieces.append(data[begin:])
    kinds = [_FIRST, *[_MIDDLE] * (len(pieces) - 2), _LAST] if len(pieces) > 1 else [_WHOLE]
    for kind, piece in zip(kinds, pieces, strict=True):
        yield _MAGIC + struct.pack("<I", kind << 29 | len(piece)) + piece + bytes(-len(piece) % 4)


def _decompressed(parts: Iterable[bytes], source: Source) -> Iterator[bytes]:
    """Raises ValueError for an object that is no gzip file, or only the beginning of one."""
    decompressor = zlib.decompressobj(wbits=31)
    try:
        for part in parts:
            rest = part
            while rest:
                if decompressor.eof:  # a file of several members
                    decompressor = zlib.decompressobj(wbits=31)
                yield decompressor.decompress(rest)
                rest = decompressor.unused_data
    except zlib.error as error:
        raise ValueError(f"s3://{source.bucket}/{source.key} is not gzip: {error}") from None
    if not decompressor.eof:
        raise ValueError(f"s3://{source.bucket}/{source.key} ends within its gzip data")
